// Element-wise parts of the tagger's step. Compiled once per instruction set.
#pragma once

#include <cstdint>

namespace albert_ner::core {

/// Values are kept with probability `kept` and divided by it. Which ones depends on seed and place only, so
/// the backward pass finds the same ones again and nothing is stored.
struct DropoutMask {
  uint32_t seed;
  float kept;
};

struct TaggerKernels {
  /// to[k] = from[k], masked, for places first .. first + count - 1 of the whole; `from` may be `to`.
  void (*drop)(const float* from, int64_t first, int64_t count, const DropoutMask& mask, float* to);
  /// float16 numbers as float32.
  void (*widen)(const uint16_t* from, int64_t count, float* to);
};

/// The kernels of the instruction set in use.
const TaggerKernels& tagger_kernels();

}  // namespace albert_ner::core
