// What every operator on packed sequences checks, and how it reads `offsets`. Shapes are checked in O(1); the
// offsets, which decide what memory is touched, in O(B) on the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "common/check.h"

namespace albert_ner::ops {

inline std::string shape_text(const at::Tensor& tensor) {
  std::string text = "[";
  for (int64_t dim = 0; dim < tensor.dim(); ++dim) {
    text += (dim == 0 ? "" : ", ") + std::to_string(tensor.size(dim));
  }
  return text + "]";
}

/// The tensor must have this shape, dtype and device, and be contiguous.
inline void check_tensor(const at::Tensor& tensor, const char* name, at::IntArrayRef shape,
                         at::ScalarType dtype, at::Device device) {
  if (tensor.sizes() != shape) {
    std::string expected = "shape [";
    for (size_t dim = 0; dim < shape.size(); ++dim) {
      expected += (dim == 0 ? "" : ", ") + std::to_string(shape[dim]);
    }
    throw_invalid(name, expected + "]", "shape " + shape_text(tensor));
  }
  check_argument(tensor.scalar_type() == dtype, name, std::string("dtype ") + c10::toString(dtype),
                 std::string("dtype ") + c10::toString(tensor.scalar_type()));
  check_argument(tensor.device() == device, name, "a tensor on " + device.str(), tensor.device().str());
  check_argument(tensor.is_contiguous(), name, "a contiguous tensor", std::string("a strided one"));
}

/// float32 or float64, contiguous, of this rank.
inline void check_floating(const at::Tensor& tensor, const char* name, int64_t rank) {
  check_argument(tensor.dim() == rank, name, std::to_string(rank) + " dimensions", tensor.dim());
  check_argument(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, name,
                 std::string("dtype Float or Double"),
                 std::string("dtype ") + c10::toString(tensor.scalar_type()));
  check_argument(tensor.is_contiguous(), name, "a contiguous tensor", std::string("a strided one"));
}

/// offsets [B+1] int32 on the device of the rows: starts at 0, never falls, ends at `row_count`.
inline void check_offsets(const at::Tensor& offsets, int64_t row_count, at::Device device) {
  check_argument(offsets.dim() == 1 && offsets.numel() >= 1, "offsets", "shape [B+1]",
                 "shape " + shape_text(offsets));
  check_tensor(offsets, "offsets", {offsets.numel()}, at::kInt, device);
  const at::Tensor host = offsets.cpu();
  const int32_t* values = host.const_data_ptr<int32_t>();
  check_argument(values[0] == 0, "offsets[0]", "0", values[0]);
  for (int64_t b = 1; b < host.numel(); ++b) {
    check_argument(values[b] >= values[b - 1], "offsets", "values that never fall", values[b]);
  }
  check_argument(values[host.numel() - 1] == row_count, "offsets[B]", std::to_string(row_count),
                 values[host.numel() - 1]);
}

}  // namespace albert_ner::ops
