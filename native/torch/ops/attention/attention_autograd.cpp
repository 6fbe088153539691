// The node calls the private operators, which dispatch by device.

#include "torch/ops/attention/attention_autograd.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <tuple>

namespace albert_ner::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor AttentionFunction::forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                                      const at::Tensor& value, at::IntArrayRef lengths, int64_t heads) {
  using Forward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                     at::IntArrayRef, int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_attention_forward", "").typed<Forward>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  auto [output, log_sums] = op.call(query, key, value, lengths, heads);
  ctx->save_for_backward({query, key, value, output, log_sums});
  ctx->saved_data["lengths"] = lengths.vec();
  ctx->saved_data["heads"] = heads;
  return output;
}

variable_list AttentionFunction::backward(AutogradContext* ctx, const variable_list& grads) {
  using Backward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const at::Tensor&, at::IntArrayRef, int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("albert_ner::_attention_backward", "").typed<Backward>();
  const variable_list saved = ctx->get_saved_variables();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const std::vector<int64_t> lengths = ctx->saved_data["lengths"].toIntVector();
  auto [d_query, d_key, d_value] = op.call(grads[0].contiguous(), saved[0], saved[1], saved[2], saved[3],
                                           saved[4], lengths, ctx->saved_data["heads"].toInt());
  return {d_query, d_key, d_value, at::Tensor(), at::Tensor()};
}

}  // namespace albert_ner::ops
