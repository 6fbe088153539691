// What the recursions with a sentence per lane have in common; for kernel sources only.
#pragma once

#include "core/crf/crf_kernels.h"
#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {

ALBERT_NER_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// Row of step t in each lane; a lane that has ended repeats its last row, an unused one the first lane's.
struct LaneRows {
  const float* row[kLanes];

  LaneRows(const CrfGroup& group, const float* emissions_nk, int64_t K, int64_t t) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const int used = lane < group.count ? lane : 0;
      row[lane] = emissions_nk + (group.first[used] + smaller(t, group.length[used] - 1)) * K;
    }
  }

  ALBERT_NER_INLINE Floats gather(int64_t k) const {
    Floats value;
    _Pragma("GCC unroll 16") for (int lane = 0; lane < kLanes; ++lane) value[lane] = row[lane][k];
    return value;
  }
};

/// All ones in the lanes whose sentence is longer than t.
ALBERT_NER_INLINE Ints running_lanes(const CrfGroup& group, int64_t t) {
  Ints lengths;
  for (int lane = 0; lane < kLanes; ++lane) lengths[lane] = group.length[lane];
  return lengths > static_cast<int32_t>(t);
}

ALBERT_NER_INLINE Floats select(Ints mask, Floats yes, Floats no) {
  return mask ? yes : no;
}

/// CrfKernels::viterbi.
void crf_viterbi(const CrfGroup& group, const CrfScoredMoves& moves, const float* emissions_nk,
                 float* scratch, int32_t* tags_n, bool* legal);

}  // namespace albert_ner::core::ALBERT_NER_ISA
