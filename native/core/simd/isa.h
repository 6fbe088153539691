// The instruction set of our CPU kernels: the best that this processor has, or the one ALBERT_NER_ISA names.
// Kernel sources are compiled once per set (CMakeLists.txt), each into a namespace with the set's name.
#pragma once

#include <cstdint>

namespace albert_ner::core {

enum class Isa : int32_t { kBaseline, kAvx2, kAvx512 };

/// Decided at the first call. Throws kInvalidArgument when ALBERT_NER_ISA names none of "baseline", "avx2"
/// and "avx512", or one that this build or processor lacks.
Isa active_isa();

const char* isa_name(Isa isa);

}  // namespace albert_ner::core

/// Declares the table of kernels `name` of each instruction set.
#if defined(ALBERT_NER_X86_KERNELS)
#define ALBERT_NER_DECLARE_KERNELS(Table, name) \
  namespace baseline {                          \
  extern const Table name;                      \
  }                                             \
  namespace avx2 {                              \
  extern const Table name;                      \
  }                                             \
  namespace avx512 {                            \
  extern const Table name;                      \
  }
/// The table of the instruction set in use.
#define ALBERT_NER_ACTIVE_KERNELS(name) \
  (active_isa() == Isa::kAvx512 ? avx512::name : active_isa() == Isa::kAvx2 ? avx2::name : baseline::name)
#else
#define ALBERT_NER_DECLARE_KERNELS(Table, name) \
  namespace baseline {                          \
  extern const Table name;                      \
  }
#define ALBERT_NER_ACTIVE_KERNELS(name) (active_isa(), baseline::name)
#endif
