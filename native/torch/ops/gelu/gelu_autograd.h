// The autograd node of gelu_tanh. Saves and calls; no arithmetic.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace albert_ner::ops {

struct GeluTanhFunction : torch::autograd::Function<GeluTanhFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& rows);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

}  // namespace albert_ner::ops
