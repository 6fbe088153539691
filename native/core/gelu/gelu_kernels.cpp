// With u = sqrt(2 / pi) (x + 0.044715 x^3), (1 + tanh u) / 2 is the logistic function of 2u: one exponential.

#include "core/gelu/gelu_kernels.h"

#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

/// 2 sqrt(2 / pi)
constexpr float kSlope = 1.5957691216057308f;
constexpr float kCubic = 0.044715f;

ALBERT_NER_INLINE Floats load_elements(const GeluElements& from, int64_t at, int64_t count) {
  return from.narrow != nullptr ? load_bfloat16(from.narrow + at, count) : load_some(from.wide + at, count);
}

ALBERT_NER_INLINE void store_elements(const MutableGeluElements& to, int64_t at, Floats value,
                                      int64_t count) {
  if (to.narrow != nullptr) {
    store_bfloat16(to.narrow + at, value, count);
  } else {
    store_some(to.wide + at, value, count);
  }
}

void forward(const GeluElements& x, int64_t first, int64_t count, const MutableGeluElements& y) {
  for (int64_t k = 0; k < count; k += kLanes) {
    const Floats value = load_elements(x, first + k, count - k);
    const Floats share = logistic(kSlope * value * (1.0f + kCubic * value * value));
    store_elements(y, first + k, value * share, count - k);
  }
}

void backward(const GeluElements& x, const GeluElements& d_y, int64_t first, int64_t count,
              const MutableGeluElements& d_x) {
  for (int64_t k = 0; k < count; k += kLanes) {
    const Floats value = load_elements(x, first + k, count - k);
    const Floats square = value * value;
    const Floats share = logistic(kSlope * value * (1.0f + kCubic * square));
    const Floats slope = kSlope * (1.0f + 3.0f * kCubic * square);
    const Floats derivative = share + value * share * (1.0f - share) * slope;
    store_elements(d_x, first + k, load_elements(d_y, first + k, count - k) * derivative, count - k);
  }
}

}  // namespace

extern const GeluKernels kGeluKernels;
const GeluKernels kGeluKernels{forward, backward};

}  // namespace albert_ner::core::ALBERT_NER_ISA
