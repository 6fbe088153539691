// The autograd nodes of crf_nll and crf_partial_nll. They save and call; no arithmetic.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace albert_ner::ops {

struct CrfNllFunction : torch::autograd::Function<CrfNllFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& emissions,
                            const at::Tensor& tags, const at::Tensor& offsets, const at::Tensor& transitions,
                            const at::Tensor& start_transitions, const at::Tensor& end_transitions);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

struct CrfPartialNllFunction : torch::autograd::Function<CrfPartialNllFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& emissions,
                            const at::Tensor& allowed, const at::Tensor& offsets,
                            const at::Tensor& transitions, const at::Tensor& start_transitions,
                            const at::Tensor& end_transitions);

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads);
};

}  // namespace albert_ner::ops
