// CPU kernels of gelu_tanh.

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/gelu/gelu_kernels.h"
#include "ops/support/isa.h"

namespace albert_ner::ops {

ALBERT_NER_DECLARE_KERNELS(GeluKernels, kGeluKernels)

const GeluKernels& gelu_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kGeluKernels);
}

namespace {

constexpr int64_t kElementsPerTask = 1 << 14;

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

at::Tensor gelu_tanh_forward(const at::Tensor& rows) {
  at::Tensor output = at::empty_like(rows);
  at::parallel_for(0, rows.numel(), kElementsPerTask, [&](int64_t first, int64_t last) {
    gelu_kernels().forward(elements(rows), first, last - first, mutable_elements(output));
  });
  return output;
}

at::Tensor gelu_tanh_backward(const at::Tensor& d_output, const at::Tensor& rows) {
  at::Tensor d_rows = at::empty_like(rows);
  at::parallel_for(0, rows.numel(), kElementsPerTask, [&](int64_t first, int64_t last) {
    gelu_kernels().backward(elements(rows), elements(d_output), first, last - first,
                            mutable_elements(d_rows));
  });
  return d_rows;
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_gelu_tanh_forward", gelu_tanh_forward);
  m.impl("_gelu_tanh_backward", gelu_tanh_backward);
}

}  // namespace
}  // namespace albert_ner::ops
