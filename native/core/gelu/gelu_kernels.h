// Elements of gelu_tanh. Compiled once per instruction set.
#pragma once

#include <cstdint>

namespace albert_ner::core {

/// Either float32 or, if `narrow` is set instead, bfloat16.
struct GeluElements {
  const float* wide;
  const uint16_t* narrow;
};

struct MutableGeluElements {
  float* wide;
  uint16_t* narrow;
};

struct GeluKernels {
  void (*forward)(const GeluElements& x, int64_t first, int64_t count, const MutableGeluElements& y);
  /// d_x = d_y * derivative at x.
  void (*backward)(const GeluElements& x, const GeluElements& d_y, int64_t first, int64_t count,
                   const MutableGeluElements& d_x);
};

/// The kernels of the instruction set in use.
const GeluKernels& gelu_kernels();

}  // namespace albert_ner::core
