// The autograd node of attention. Saves and calls; no arithmetic.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace albert_ner::ops {

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value, at::IntArrayRef lengths,
                            int64_t heads);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

}  // namespace albert_ner::ops
