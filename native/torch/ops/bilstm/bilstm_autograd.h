// The autograd node of bilstm. Saves and calls; no arithmetic.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace albert_ner::ops {

struct BilstmFunction : torch::autograd::Function<BilstmFunction> {
  /// `saves` is whether a backward pass may follow.
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& features,
                            const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
                            const at::Tensor& b_ih, const at::Tensor& b_hh, const at::Tensor& w_ih_reverse,
                            const at::Tensor& w_hh_reverse, const at::Tensor& b_ih_reverse,
                            const at::Tensor& b_hh_reverse, bool saves);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

}  // namespace albert_ner::ops
