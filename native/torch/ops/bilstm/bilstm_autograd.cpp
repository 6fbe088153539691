// The node calls the private operators, which dispatch by device.

#include "torch/ops/bilstm/bilstm_autograd.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace albert_ner::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor BilstmFunction::forward(AutogradContext* ctx, const at::Tensor& features,
                                   const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
                                   const at::Tensor& b_ih, const at::Tensor& b_hh,
                                   const at::Tensor& w_ih_reverse, const at::Tensor& w_hh_reverse,
                                   const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse,
                                   bool saves) {
  using Forward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_bilstm_forward", "").typed<Forward>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [output, gates, cells] = op.call(features, offsets, w_ih, w_hh, b_ih, b_hh, w_ih_reverse, w_hh_reverse,
                                        b_ih_reverse, b_hh_reverse, saves);
  if (saves) {
    ctx->save_for_backward({features, offsets, w_ih, w_hh, w_ih_reverse, w_hh_reverse, output, gates, cells});
  }
  return output;
}

variable_list BilstmFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  using Backward = std::vector<at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_bilstm_backward", "").typed<Backward>();
  const variable_list saved = ctx->get_saved_variables();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  std::vector<at::Tensor> d = op.call(grads[0].contiguous(), saved[0], saved[1], saved[2], saved[3], saved[4],
                                      saved[5], saved[6], saved[7], saved[8], ctx->needs_input_grad(0));
  // d: features, then w_ih, w_hh and the bias of each direction. Both biases enter the same sum, so their
  // gradients are equal; but not one tensor, or a caller that scales gradients in place would scale it twice.
  return {d[0], at::Tensor(), d[1], d[2], d[3], d[3].clone(), d[4], d[5], d[6], d[6].clone(), at::Tensor()};
}

}  // namespace albert_ner::ops
