// The autograd node of add_norm. Saves and calls; no arithmetic.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace albert_ner::ops {

struct AddNormFunction : torch::autograd::Function<AddNormFunction> {
  /// `saves` is whether a backward pass may follow.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* ctx, const at::Tensor& rows,
                                                const at::Tensor& added, const at::Tensor& scale,
                                                const at::Tensor& bias, double eps, double dropout,
                                                int64_t seed, bool saves);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

}  // namespace albert_ner::ops
