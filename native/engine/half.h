// The two 16-bit floating formats, one number at a time. Subnormal results go through integers only, so that
// they are exact where the thread flushes them, too.
#pragma once

#include <bit>
#include <cstdint>

namespace albert_ner::engine {

inline float float_of_bfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// IEEE 754 binary16. Every one of its numbers is a normal one of float32, or zero.
inline float float_of_half(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  uint32_t mantissa = bits & 0x3ffu;
  constexpr uint32_t kBiasDifference = 127 - 15;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + kBiasDifference) << 23) | (mantissa << 13));
  }
  if (mantissa == 0) return std::bit_cast<float>(sign);
  // mantissa * 2^-24: its highest bit becomes the hidden one.
  const uint32_t shift = static_cast<uint32_t>(std::countl_zero(mantissa)) - 21;
  mantissa = (mantissa << shift) & 0x3ffu;
  return std::bit_cast<float>(sign | ((kBiasDifference + 1 - shift) << 23) | (mantissa << 13));
}

}  // namespace albert_ner::engine
