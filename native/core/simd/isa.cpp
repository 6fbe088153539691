#include "core/simd/isa.h"

#if defined(ALBERT_NER_X86_KERNELS)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string>

#include "common/check.h"
#include "core/simd/gemm.h"

namespace albert_ner::core {
namespace {

#if defined(ALBERT_NER_X86_KERNELS)
/// Of the processor's own word: older clangs know no "f16c" in __builtin_cpu_supports.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool is_available(Isa isa) {
  if (isa == Isa::kBaseline) return true;
#if defined(ALBERT_NER_X86_KERNELS)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  if (isa == Isa::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

constexpr Isa kFromBest[] = {Isa::kAvx512, Isa::kAvx2, Isa::kBaseline};

Isa choose() {
  const char* wanted = std::getenv("ALBERT_NER_ISA");
  for (const Isa isa : kFromBest) {
    if (is_available(isa) && (wanted == nullptr || std::string(wanted) == isa_name(isa))) return isa;
  }
  std::string available;
  for (const Isa isa : kFromBest) {
    if (is_available(isa)) available += (available.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw_invalid("ALBERT_NER_ISA", "one of " + available, wanted);
}

}  // namespace

Isa active_isa() {
  static const Isa isa = choose();
  return isa;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kBaseline:
      return "baseline";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "";
}

ALBERT_NER_DECLARE_KERNELS(GemmKernels, kGemmKernels)

const GemmKernels& gemm_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kGemmKernels);
}

}  // namespace albert_ner::core
