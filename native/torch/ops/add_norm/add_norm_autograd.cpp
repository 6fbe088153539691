// The node calls the private operators, which dispatch by device.

#include "torch/ops/add_norm/add_norm_autograd.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>

namespace albert_ner::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

variable_list AddNormFunction::forward(AutogradContext* ctx, const at::Tensor& rows, const at::Tensor& added,
                                       const at::Tensor& scale, const at::Tensor& bias, double eps,
                                       double dropout, int64_t seed, bool saves) {
  using Forward = std::vector<at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                          const at::Tensor&, double, double, int64_t, bool);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_add_norm_forward", "").typed<Forward>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  std::vector<at::Tensor> outputs = op.call(rows, added, scale, bias, eps, dropout, seed, saves);
  if (saves) {
    ctx->save_for_backward({rows, added, scale, outputs[2]});
    ctx->saved_data["dropout"] = dropout;
    ctx->saved_data["seed"] = seed;
    ctx->set_materialize_grads(false);
  }
  outputs.pop_back();
  if (added.scalar_type() != at::kBFloat16) outputs.pop_back();
  return outputs;
}

variable_list AddNormFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  using Backward =
      std::vector<at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, const at::Tensor&, double, int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_add_norm_backward", "").typed<Backward>();
  const variable_list saved = ctx->get_saved_variables();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  // Of the two results often only one is used.
  auto gradient = [&](size_t output) {
    return output < grads.size() && grads[output].defined() ? grads[output].contiguous()
                                                            : at::empty({0}, saved[output].options());
  };
  std::vector<at::Tensor> d = op.call(gradient(0), gradient(1), saved[0], saved[1], saved[2], saved[3],
                                      ctx->saved_data["dropout"].toDouble(), ctx->saved_data["seed"].toInt());
  return {d[0], d[1], d[2], d[3], at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
}

}  // namespace albert_ner::ops
