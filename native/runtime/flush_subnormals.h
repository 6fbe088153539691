// Subnormal numbers as zero, for the arithmetic of a thread.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace albert_ner::runtime {

/// While it lives, float32 numbers below 1.2e-38 (float64: 2.2e-308) are read and written as zero by this
/// thread and, on Linux, by the threads of parallel operators that it starts meanwhile. Attention far from a
/// unit and gradients make such numbers by the million, and some processors handle each by microcode.
/// Conversions of float16, whose smallest numbers are normal ones of float32, are exact nevertheless.
class FlushSubnormals {
 public:
  FlushSubnormals() { set(before_ | kFlush); }
  ~FlushSubnormals() { set(before_); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__x86_64__)
  using Control = uint32_t;
  static constexpr Control kFlush = 0x8040;  // of results (FTZ) and of operands (DAZ)
  static Control get() { return _mm_getcsr(); }
  static void set(Control control) { _mm_setcsr(control); }
#elif defined(__aarch64__)
  using Control = uint64_t;
  static constexpr Control kFlush = 1u << 24;  // FZ
  static Control get() {
    Control control = 0;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
  }
  static void set(Control control) { asm volatile("msr fpcr, %0" : : "r"(control)); }
#else
  using Control = uint32_t;
  static constexpr Control kFlush = 0;
  static Control get() { return 0; }
  static void set(Control) {}
#endif

  const Control before_ = get();
};

}  // namespace albert_ner::runtime
