// The node calls the private operators, which dispatch by device.

#include "torch/ops/gelu/gelu_autograd.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace albert_ner::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor GeluTanhFunction::forward(AutogradContext* ctx, const at::Tensor& rows) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_gelu_tanh_forward", "")
                             .typed<at::Tensor(const at::Tensor&)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  ctx->save_for_backward({rows});
  return op.call(rows);
}

variable_list GeluTanhFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_gelu_tanh_backward", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  return {op.call(grads[0].contiguous(), ctx->get_saved_variables()[0])};
}

}  // namespace albert_ner::ops
