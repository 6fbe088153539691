// What every operator on packed sequences checks, and how it reads `offsets`. Shapes are checked in O(1); the
// offsets, which decide what memory is touched, in O(B) where they are on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "common/check.h"
#include "torch/support/core_names.h"

namespace albert_ner::ops {

inline std::string shape_text(at::IntArrayRef shape) {
  std::string text = "shape [";
  for (size_t dim = 0; dim < shape.size(); ++dim) text += (dim == 0 ? "" : ", ") + std::to_string(shape[dim]);
  return text + "]";
}

/// The tensor must have this shape, dtype and device, and be contiguous.
inline void check_tensor(const at::Tensor& tensor, std::string_view name, at::IntArrayRef shape,
                         at::ScalarType dtype, at::Device device) {
  if (tensor.sizes() != shape) throw_invalid(name, shape_text(shape), shape_text(tensor.sizes()));
  if (tensor.scalar_type() != dtype) {
    throw_invalid(name, std::string("dtype ") + c10::toString(dtype), c10::toString(tensor.scalar_type()));
  }
  if (tensor.device() != device) throw_invalid(name, "a tensor on " + device.str(), tensor.device().str());
  check_argument(tensor.is_contiguous(), name, "a contiguous tensor", "a strided one");
}

/// float32 or float64, contiguous, of this rank.
inline void check_floating(const at::Tensor& tensor, std::string_view name, int64_t rank) {
  if (tensor.dim() != rank)
    throw_invalid(name, std::to_string(rank) + " dimensions", shape_text(tensor.sizes()));
  check_argument(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, name,
                 "dtype Float or Double", c10::toString(tensor.scalar_type()));
  check_argument(tensor.is_contiguous(), name, "a contiguous tensor", "a strided one");
}

/// offsets [B+1] int32 on the device of the rows: starts at 0, never falls, ends at `row_count`. Values on
/// another device than the CPU are left to the kernels, since reading them would wait for it.
inline void check_offsets(const at::Tensor& offsets, int64_t row_count, at::Device device) {
  if (offsets.dim() != 1 || offsets.numel() < 1) {
    throw_invalid("offsets", "shape [B+1]", shape_text(offsets.sizes()));
  }
  check_tensor(offsets, "offsets", {offsets.numel()}, at::kInt, device);
  if (!offsets.is_cpu()) return;
  const int32_t* values = offsets.const_data_ptr<int32_t>();
  check_argument(values[0] == 0, "offsets[0]", "0", values[0]);
  for (int64_t b = 1; b < offsets.numel(); ++b) {
    check_argument(values[b] >= values[b - 1], "offsets", "values that never fall", values[b]);
  }
  const int32_t last = values[offsets.numel() - 1];
  if (last != row_count) throw_invalid("offsets[B]", std::to_string(row_count), std::to_string(last));
}

}  // namespace albert_ner::ops
