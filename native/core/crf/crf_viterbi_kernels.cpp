// Viterbi with a sentence per lane. Compiled once per instruction set.

#include "core/crf/crf_lanes.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

/// to[j] = max_i (from[i] + matrix[i * K + j]) for `Width` columns.
template <int Width>
ALBERT_NER_INLINE void best_columns(const Floats* from, const float* matrix, int64_t K, Floats* to) {
  Floats best[Width];
  _Pragma("GCC unroll 8") for (int j = 0; j < Width; ++j) best[j] = from[0] + matrix[j];
  for (int64_t i = 1; i < K; ++i) {
    const Floats score = from[i];
    _Pragma("GCC unroll 8") for (int j = 0; j < Width; ++j) {
      const Floats candidate = score + matrix[i * K + j];
      best[j] = candidate > best[j] ? candidate : best[j];
    }
  }
  _Pragma("GCC unroll 8") for (int j = 0; j < Width; ++j) to[j] = best[j];
}

template <int Width>
ALBERT_NER_INLINE void best_some(int64_t width, const Floats* from, const float* matrix, int64_t K,
                                 Floats* to) {
  if (width == Width) return best_columns<Width>(from, matrix, K, to);
  if constexpr (Width > 1) best_some<Width - 1>(width, from, matrix, K, to);
}

/// The tag on the best path before `tag`: the first whose score reaches it. Only the rows of one path ask, so
/// this is cheaper than to keep the answer for every tag at every step.
int64_t best_before(const Floats* score, int lane, const float* transitions_kk, int64_t K, int64_t tag) {
  int64_t best = 0;
  float highest = score[0][lane] + transitions_kk[tag];
  for (int64_t i = 1; i < K; ++i) {
    const float candidate = score[i][lane] + transitions_kk[i * K + tag];
    if (candidate > highest) {
      highest = candidate;
      best = i;
    }
  }
  return best;
}

/// Paths back from the tags they end with, lane by lane.
void trace_back(const CrfGroup& group, const CrfScoredMoves& moves, const Floats* scores,
                const int32_t* last_tags, int32_t* tags_n) {
  const int64_t K = moves.K;
  for (int lane = 0; lane < group.count; ++lane) {
    int64_t tag = last_tags[lane];
    int32_t* tags = tags_n + group.first[lane];
    for (int64_t t = group.length[lane] - 1; t > 0; --t) {
      tags[t] = static_cast<int32_t>(tag);
      tag = best_before(scores + (t - 1) * K, lane, moves.transitions_kk, K, tag);
    }
    tags[0] = static_cast<int32_t>(tag);
  }
}

/// The same for all lanes at once. A row of transitions fits into two vectors, so that each lane finds the
/// score of its own tag by a permutation.
void trace_back_together(const CrfGroup& group, const CrfScoredMoves& moves, const Floats* scores,
                         const int32_t* last_tags, int32_t* tags_n) {
  const int64_t K = moves.K;
  Floats from[2 * kLanes][2];
  for (int64_t i = 0; i < K; ++i) {
    const float* row = moves.transitions_kk + i * K;
    from[i][0] = load_some(row, K);
    from[i][1] = K > kLanes ? load_some(row + kLanes, K - kLanes) : Floats{};
  }
  Ints last;
  for (int lane = 0; lane < kLanes; ++lane) last[lane] = last_tags[lane];
  Ints tag = last;
  for (int64_t t = group.steps - 1; t >= 0; --t) {
    const Floats* score = scores + t * K;
    auto arriving = [&](int64_t i) {
      const Floats transition = K > kLanes ? pick(from[i][0], from[i][1], tag) : pick(from[i][0], tag);
      return score[i] + transition;
    };
    Floats highest = arriving(0);
    Ints best = {};
    for (int64_t i = 1; i < K; ++i) {
      const Floats candidate = arriving(i);
      const Ints better = candidate > highest;
      highest = select(better, candidate, highest);
      best = better ? Ints{} + static_cast<int32_t>(i) : best;
    }
    tag = running_lanes(group, t + 1) ? best : last;
    for (int lane = 0; lane < group.count; ++lane) {
      if (t >= group.length[lane]) break;  // shorter ones follow
      tags_n[group.first[lane] + t] = tag[lane];
    }
  }
}

}  // namespace

void crf_viterbi(const CrfGroup& group, const CrfScoredMoves& moves, const float* emissions_nk,
                 float* scratch, int32_t* tags_n, bool* legal) {
  const int64_t K = moves.K;
  const float never = -__builtin_inff();
  Floats* scores = reinterpret_cast<Floats*>(scratch);  // [steps, K]
  for (int64_t t = 0; t < group.steps; ++t) {
    const LaneRows rows(group, emissions_nk, K, t);
    Floats* score = scores + t * K;
    for (int64_t j = 0; t > 0 && j < K; j += 8) {
      best_some<8>(smaller(8, K - j), score - K, moves.transitions_kk + j, K, score + j);
    }
    Floats largest = broadcast(never);
    for (int64_t k = 0; k < K; ++k) {
      score[k] = rows.gather(k) + (t == 0 ? broadcast(moves.start_k[k]) : score[k]);
      largest = score[k] > largest ? score[k] : largest;
    }
    // Scores stay near 0, or those of long sentences would lose their digits.
    largest = select(largest > never, largest, Floats{});
    for (int64_t k = 0; k < K; ++k) score[k] -= largest;
  }
  int32_t last_tags[kMaxCrfLanes] = {};
  for (int lane = 0; lane < group.count; ++lane) {
    const Floats* score = scores + (group.length[lane] - 1) * K;
    int32_t best = 0;
    for (int32_t k = 1; k < K; ++k) {
      if (score[k][lane] + moves.end_k[k] > score[best][lane] + moves.end_k[best]) best = k;
    }
    legal[lane] = score[best][lane] + moves.end_k[best] > never;
    last_tags[lane] = best;
  }
  const auto trace = K <= 2 * kLanes ? trace_back_together : trace_back;
  trace(group, moves, scores, last_tags, tags_n);
}

}  // namespace albert_ner::core::ALBERT_NER_ISA
