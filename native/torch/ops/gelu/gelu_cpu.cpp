// The CPU kernels' way in: takes tensors apart for gelu_float32.h.

#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "core/gelu/gelu_float32.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

GeluElements elements(const at::Tensor& tensor) {
  const bool narrow = tensor.scalar_type() == at::kBFloat16;
  const void* data = tensor.const_data_ptr();
  return {narrow ? nullptr : static_cast<const float*>(data),
          narrow ? static_cast<const uint16_t*>(data) : nullptr};
}

MutableGeluElements mutable_elements(at::Tensor& tensor) {
  const bool narrow = tensor.scalar_type() == at::kBFloat16;
  void* data = tensor.mutable_data_ptr();
  return {narrow ? nullptr : static_cast<float*>(data), narrow ? static_cast<uint16_t*>(data) : nullptr};
}

at::Tensor gelu_tanh_forward_cpu(const at::Tensor& rows) {
  at::Tensor output = at::empty_like(rows);
  gelu_tanh_forward(elements(rows), rows.numel(), mutable_elements(output));
  return output;
}

at::Tensor gelu_tanh_backward_cpu(const at::Tensor& d_output, const at::Tensor& rows) {
  at::Tensor d_rows = at::empty_like(rows);
  gelu_tanh_backward(elements(rows), elements(d_output), rows.numel(), mutable_elements(d_rows));
  return d_rows;
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_gelu_tanh_forward", gelu_tanh_forward_cpu);
  m.impl("_gelu_tanh_backward", gelu_tanh_backward_cpu);
}

}  // namespace
}  // namespace albert_ner::ops
