// splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): a counter whose
// values are mixed. Every place that draws such numbers or hashes with them includes this, since stored
// tables and equal seeds depend on its bits; only add_norm's kernels repeat it, in vectors.
#pragma once

#include <cstdint>

namespace albert_ner {

/// What the state grows by from one number to the next.
constexpr uint64_t kSplitmixStep = 0x9e3779b97f4a7c15ULL;

/// The finaliser: one to one, and each bit of the result depends on all bits of the value.
constexpr uint64_t splitmix64_mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

/// The next number; advances the state.
inline uint64_t splitmix64_next(uint64_t* state) {
  return splitmix64_mix(*state += kSplitmixStep);
}

/// Number `index`, from 0, of those that follow one another from the state `seed`.
constexpr uint64_t splitmix64_at(uint64_t seed, uint64_t index) {
  return splitmix64_mix(seed + (index + 1) * kSplitmixStep);
}

}  // namespace albert_ner
