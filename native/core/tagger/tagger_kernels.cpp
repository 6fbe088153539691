// Plain loops that the compiler turns into vectors. Compiled once per instruction set.

#include "core/tagger/tagger_kernels.h"

#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

/// A bijection that leaves no relation between neighbours. Source: Wellons 2018, "lowbias32".
ALBERT_NER_INLINE uint32_t scrambled(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return x;
}

void drop(const float* from, int64_t first, int64_t count, const DropoutMask& mask, float* to) {
  // 24 bits are a float32 number exactly.
  const float bound = mask.kept * 0x1p24f;
  const float scale = 1.0f / mask.kept;
  const uint32_t start = static_cast<uint32_t>(first);
  const uint32_t seed = scrambled(mask.seed + 0x9e3779b9U);
  for (int64_t k = 0; k < count; ++k) {
    const uint32_t hash = scrambled(scrambled(start + static_cast<uint32_t>(k)) ^ seed) >> 8;
    const float factor = static_cast<float>(static_cast<int32_t>(hash)) < bound ? scale : 0.0f;
    to[k] = from[k] * factor;
  }
}

void widen(const uint16_t* from, int64_t count, float* to) {
  for (int64_t k = 0; k < count; ++k) {
    // Exponent and mantissa move to their places; a subnormal half is a number of units of 2^-24.
    const uint32_t magnitude = from[k] & 0x7fffU;
    const uint32_t sign = (from[k] & 0x8000U) << 16;
    const uint32_t shifted = magnitude << 13;
    const uint32_t normal = shifted + (112U << 23);
    const uint32_t special = shifted | 0x7f800000U;  // infinities and NaN
    const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
    uint32_t bits = magnitude >= 0x7c00U ? special : normal;
    if (magnitude < 0x0400U) bits = __builtin_bit_cast(uint32_t, subnormal);
    to[k] = __builtin_bit_cast(float, bits | sign);
  }
}

}  // namespace

extern const TaggerKernels kTaggerKernels;
const TaggerKernels kTaggerKernels{drop, widen};

}  // namespace albert_ner::core::ALBERT_NER_ISA
