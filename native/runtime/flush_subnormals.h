// Subnormal numbers as zero, for the arithmetic of a thread.
#pragma once

#include <ATen/Context.h>

namespace albert_ner::runtime {

/// While it lives, float32 numbers below 1.2e-38 (float64: 2.2e-308) are read and written as zero by this
/// thread and, on Linux, by the threads of parallel operators that it starts meanwhile. Attention far from a
/// unit and gradients make such numbers by the million, and some processors handle each by microcode.
/// Conversions of float16, whose smallest numbers are normal ones of float32, are exact nevertheless.
class FlushSubnormals {
 public:
  FlushSubnormals() { at::Context::setFlushDenormal(true); }
  ~FlushSubnormals() { at::Context::setFlushDenormal(false); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
};

}  // namespace albert_ner::runtime
