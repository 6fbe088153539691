// Vectors of float32 for kernel sources, which are compiled once per instruction set with ALBERT_NER_ISA set
// to its name (CMakeLists.txt). The compiler's own vector types carry the arithmetic, so one source serves
// SSE2, AVX2, AVX-512 and NEON.
//
// Kernel sources include nothing but this, their own interface and the C headers: an inline function of a
// standard header compiled for AVX-512 could be the copy the linker keeps for the whole program.
#pragma once

#include <stdint.h>

#if !defined(ALBERT_NER_ISA)
#error "simd.h is for kernel sources only"
#endif

#define ALBERT_NER_INLINE inline __attribute__((always_inline))

namespace albert_ner::core::ALBERT_NER_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kVectorRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kVectorRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16;
constexpr int kVectorRegisters = 32;
#else
constexpr int kVectorBytes = 16;
constexpr int kVectorRegisters = 16;
#endif

/// Floats of a vector.
constexpr int kLanes = kVectorBytes / 4;

typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef int32_t Ints __attribute__((vector_size(kVectorBytes)));
/// For arithmetic on bits, which may wrap.
typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));
typedef float UnalignedFloats __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

ALBERT_NER_INLINE Floats load(const float* from) {
  return *reinterpret_cast<const UnalignedFloats*>(from);
}

ALBERT_NER_INLINE void store(float* to, Floats value) {
  *reinterpret_cast<UnalignedFloats*>(to) = value;
}

/// The first `count` lanes; zeros behind them.
ALBERT_NER_INLINE Floats load_some(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
  Floats value = {};
  for (int64_t lane = 0; lane < count; ++lane) value[lane] = from[lane];
  return value;
}

ALBERT_NER_INLINE void store_some(float* to, Floats value, int64_t count) {
  if (count >= kLanes) return store(to, value);
  for (int64_t lane = 0; lane < count; ++lane) to[lane] = value[lane];
}

/// The first `count` lanes of a vector; zeros behind them.
ALBERT_NER_INLINE Floats first_lanes(Floats value, int64_t count) {
  for (int64_t lane = count; lane < kLanes; ++lane) value[lane] = 0;
  return value;
}

typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t UnalignedHalves __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

/// The first `count` of numbers in bfloat16, the upper half of a float32; zeros behind them.
ALBERT_NER_INLINE Floats load_bfloat16(const uint16_t* from, int64_t count) {
  Halves halves = {};
  if (count >= kLanes) {
    halves = *reinterpret_cast<const UnalignedHalves*>(from);
  } else {
    for (int64_t lane = 0; lane < count; ++lane) halves[lane] = from[lane];
  }
  return reinterpret_cast<Floats>(__builtin_convertvector(halves, Bits) << 16);
}

/// Rounded to the nearest bfloat16, of two the even one; NaN stays NaN.
ALBERT_NER_INLINE void store_bfloat16(uint16_t* to, Floats value, int64_t count) {
  const Bits bits = reinterpret_cast<Bits>(value);
  Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);
  // Its fraction could overflow into the sign.
  rounded = value == value ? rounded : bits | 0x00400000;
  const Halves halves = __builtin_convertvector((rounded >> 16) & 0xffff, Halves);
  if (count >= kLanes) {
    *reinterpret_cast<UnalignedHalves*>(to) = halves;
  } else {
    for (int64_t lane = 0; lane < count; ++lane) to[lane] = halves[lane];
  }
}

/// Lane l of the result is element index[l] of the vectors one after the other. Indexes are in range.
ALBERT_NER_INLINE Floats pick(Floats first, Floats second, Ints index) {
#if defined(__clang__)
  Floats value;
  for (int lane = 0; lane < kLanes; ++lane)
    value[lane] = index[lane] < kLanes ? first[index[lane]] : second[index[lane] - kLanes];
  return value;
#else
  return __builtin_shuffle(first, second, index);
#endif
}

ALBERT_NER_INLINE Floats pick(Floats from, Ints index) {
#if defined(__clang__)
  return pick(from, from, index);
#else
  return __builtin_shuffle(from, index);
#endif
}

ALBERT_NER_INLINE Floats broadcast(float value) {
  return value - Floats{};
}

/// x between the bounds; a NaN stays one.
ALBERT_NER_INLINE Floats clamp(Floats x, float low, float high) {
  x = x < low ? broadcast(low) : x;
  return x > high ? broadcast(high) : x;
}

/// e^x = 2^n (1 + m) with |ln(1 + m)| <= ln(2) / 2, for x in [-87, 88].
struct SplitExp {
  Floats scale;     // 2^n
  Floats mantissa;  // m, exact to 2^-24 relative to itself
};

ALBERT_NER_INLINE SplitExp split_exp(Floats x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  constexpr float kRounder = 12582912.0f;
  const Floats rounded = x * 1.44269504f + kRounder;
  const Floats n = rounded - kRounder;
  // ln 2 in two parts; n times the first is exact.
  Floats r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  // Taylor's series to r^7: the rest is below 6e-9.
  Floats p = r * (1.0f / 5040) + (1.0f / 720);
  p = p * r + (1.0f / 120);
  p = p * r + (1.0f / 24);
  p = p * r + (1.0f / 6);
  p = p * r + 0.5f;
  const Ints exponent = (reinterpret_cast<Ints>(rounded) - 0x4B400000 + 127) << 23;
  return {reinterpret_cast<Floats>(exponent), p * (r * r) + r};
}

/// e^x for x in [-87, 88], clamped outside; a few units in the last place.
ALBERT_NER_INLINE Floats exp(Floats x) {
  const SplitExp e = split_exp(clamp(x, -87.0f, 88.0f));
  return e.scale * e.mantissa + e.scale;
}

/// 1 / (1 + e^-x)
ALBERT_NER_INLINE Floats logistic(Floats x) {
  return 1.0f / (1.0f + exp(-x));
}

/// Through e^2x - 1, which keeps its digits near zero.
ALBERT_NER_INLINE Floats tanh(Floats x) {
  const SplitExp e = split_exp(clamp(x + x, -87.0f, 88.0f));
  const Floats y = e.scale * e.mantissa + (e.scale - 1.0f);
  return y / (y + 2.0f);
}

ALBERT_NER_INLINE float sum_of_lanes(Floats value) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += value[lane];
  return sum;
}

}  // namespace albert_ner::core::ALBERT_NER_ISA
