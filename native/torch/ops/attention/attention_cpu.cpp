// The CPU kernels' way in: takes tensors apart for attention_float32.h.

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <tuple>

#include "core/attention/attention_float32.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

template <typename Rows>
Rows rows_of(const at::Tensor& tensor) {
  const int64_t step = tensor.size(1);
  if (tensor.scalar_type() == at::kFloat) return {static_cast<float*>(tensor.data_ptr()), nullptr, step};
  return {nullptr, static_cast<uint16_t*>(tensor.data_ptr()), step};
}

AttentionShape shape_of(const at::Tensor& query, at::IntArrayRef lengths, int64_t heads) {
  const int64_t B = static_cast<int64_t>(lengths.size());
  return {lengths.data(), B, query.size(0), heads, query.size(1) / heads};
}

AttentionInputs inputs_of(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  return {rows_of<AttentionRows>(query), rows_of<AttentionRows>(key), rows_of<AttentionRows>(value)};
}

std::tuple<at::Tensor, at::Tensor> attention_forward_cpu(const at::Tensor& query, const at::Tensor& key,
                                                         const at::Tensor& value, at::IntArrayRef lengths,
                                                         int64_t heads) {
  at::Tensor output = at::empty_like(query);                                                   // [M, D]
  at::Tensor log_sums = at::empty({heads, query.size(0)}, query.options().dtype(at::kFloat));  // [heads, M]
  attention_forward(shape_of(query, lengths, heads), inputs_of(query, key, value),
                    rows_of<MutableAttentionRows>(output), log_sums.mutable_data_ptr<float>());
  return {output, log_sums};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward_cpu(
    const at::Tensor& d_output, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const at::Tensor& output, const at::Tensor& log_sums, at::IntArrayRef lengths, int64_t heads) {
  at::Tensor d_query = at::empty_like(query);  // each [M, D]
  at::Tensor d_key = at::empty_like(query);
  at::Tensor d_value = at::empty_like(query);
  attention_backward(
      shape_of(query, lengths, heads), inputs_of(query, key, value),
      {rows_of<AttentionRows>(output), rows_of<AttentionRows>(d_output), log_sums.const_data_ptr<float>()},
      {rows_of<MutableAttentionRows>(d_query), rows_of<MutableAttentionRows>(d_key),
       rows_of<MutableAttentionRows>(d_value)});
  return {d_query, d_key, d_value};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_attention_forward", attention_forward_cpu);
  m.impl("_attention_backward", attention_backward_cpu);
}

}  // namespace
}  // namespace albert_ner::ops
