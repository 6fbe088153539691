// The node calls the private operators, which dispatch by device.

#include "torch/ops/crf/crf_autograd.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace albert_ner::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor CrfNllFunction::forward(AutogradContext* ctx, const at::Tensor& emissions, const at::Tensor& tags,
                                   const at::Tensor& offsets, const at::Tensor& transitions,
                                   const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  using Forward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                     const at::Tensor&, const at::Tensor&, const at::Tensor&);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_crf_nll_forward", "").typed<Forward>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [nll, alphas] = op.call(emissions, tags, offsets, transitions, start_transitions, end_transitions);
  ctx->save_for_backward({emissions, tags, offsets, transitions, start_transitions, end_transitions, alphas});
  return nll;
}

variable_list CrfNllFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  using Backward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, const at::Tensor&, const at::Tensor&);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_crf_nll_backward", "").typed<Backward>();
  const variable_list saved = ctx->get_saved_variables();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [d_emissions, d_transitions, d_start, d_end] =
      op.call(grads[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]);
  return {d_emissions, at::Tensor(), at::Tensor(), d_transitions, d_start, d_end};
}

at::Tensor CrfPartialNllFunction::forward(AutogradContext* ctx, const at::Tensor& emissions,
                                          const at::Tensor& allowed, const at::Tensor& offsets,
                                          const at::Tensor& transitions, const at::Tensor& start_transitions,
                                          const at::Tensor& end_transitions) {
  using Forward =
      std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                     const at::Tensor&, const at::Tensor&, const at::Tensor&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_partial_nll_forward", "")
                             .typed<Forward>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [nll, alphas, constrained_alphas] =
      op.call(emissions, allowed, offsets, transitions, start_transitions, end_transitions);
  ctx->save_for_backward({emissions, allowed, offsets, transitions, start_transitions, end_transitions,
                          alphas, constrained_alphas});
  return nll;
}

variable_list CrfPartialNllFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  using Backward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_partial_nll_backward", "")
                             .typed<Backward>();
  const variable_list saved = ctx->get_saved_variables();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [d_emissions, d_transitions, d_start, d_end] = op.call(
      grads[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6], saved[7]);
  return {d_emissions, at::Tensor(), at::Tensor(), d_transitions, d_start, d_end};
}

}  // namespace albert_ner::ops
