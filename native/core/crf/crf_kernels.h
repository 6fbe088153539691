// The CRF's recursions in float32 with one sentence per lane of a vector: the part that walks through time.
// Compiled once per instruction set.
//
// Sums run over probabilities instead of their logarithms: alpha is rescaled at each step to the sum
// kAlphaSum, transitions are taken as exp(score - largest score) once per batch, and each row's largest
// emission is subtracted before its exponential. With alphas that sum to 2^100, summands of a relative 1e-59
// are still there. A lane that loses one that could have mattered says so, and its sentence is done in log
// space: nothing is lost at any step as long as every tag that the moves can reach keeps an alpha above a
// floor, since whatever vanishes beside it is 1e9 times smaller. Betas are of one path's weight, so that a
// marginal vanishes below 2e-8.
#pragma once

#include <cstdint>

namespace albert_ner::core {

constexpr int64_t kMaxCrfLanes = 16;
constexpr float kAlphaSum = 0x1p100f;
constexpr float kSmallestNormal = 0x1p-126f;

/// Up to `lanes` sentences, longest first. Lanes that hold none have length 0.
struct CrfGroup {
  int32_t first[kMaxCrfLanes];  // row
  int32_t length[kMaxCrfLanes];
  int32_t sentence[kMaxCrfLanes];
  int32_t count;
  int32_t steps;         // length of the longest
  int64_t saved_offset;  // of the group in the saved floats
};

/// The moves of a batch, exponentiated: exp(score - largest score).
struct CrfMoves {
  int64_t K;
  const float* forward_kk;   // [K, K] row i, column j: i -> j
  const float* backward_kk;  // [K, K] transposed
  const float* start_k;
  const float* end_k;
  const uint8_t* allowed_kk;  // [K, K] whether the move's score is above -inf
  /// [reach_steps, K]: 0 where the moves can reach tag k at step t, large where they can't. The last row
  /// holds for all later steps.
  const float* unreachable;
  int64_t reach_steps;
  float alpha_floor;  // what vanishes beside alphas above it is no matter
};

/// The moves of a batch as scores.
struct CrfScoredMoves {
  int64_t K;
  const float* transitions_kk;
  const float* start_k;
  const float* end_k;
};

struct CrfForwardResult {
  double log_partition[kMaxCrfLanes];  // up to the largest scores of the moves
  bool lost[kMaxCrfLanes];             // the lane needs log space
};

struct CrfBackwardArgs {
  const float* weights;  // [lanes] of the lanes' gradients; 0 for a lost lane
  float* scratch;        // [backward_floats]
  float* d_emissions;    // [N, K], added to
  /// [K, K], [K], [K], added to; all null: not wanted.
  double* d_transitions = nullptr;
  double* d_start = nullptr;
  double* d_end = nullptr;
};

/// Facts about scores.
struct CrfScan {
  bool valid;               // no NaN and no +inf
  bool has_forbidden;       // -inf
  float largest_magnitude;  // of the finite ones
};

struct CrfKernels {
  int64_t lanes;

  /// Floats a group leaves for `backward`: per step the row's largest emission and the scale, then K
  /// exponentials and K alphas, a vector each.
  int64_t saved_floats(int64_t steps, int64_t K) const { return steps * (2 * K + 2) * lanes; }
  int64_t (*backward_floats)(int64_t K);

  CrfScan (*scan)(const float* scores, int64_t count);

  /// `reached` [2, K, lanes] is room to work in, needed where some emissions are -inf, so that what can be
  /// reached differs from lane to lane; null elsewhere.
  void (*forward)(const CrfGroup& group, const CrfMoves& moves, const float* emissions_nk, int32_t* reached,
                  float* saved, CrfForwardResult& result);

  /// Adds weight * d log Z of each lane.
  void (*backward)(const CrfGroup& group, const CrfMoves& moves, const float* saved,
                   const CrfBackwardArgs& args);

  /// Best paths into tags_n. Scores are float32 numbers up to 1e4 in magnitude or -inf. Lanes without a legal
  /// path get legal[lane] = false. `scratch`: [viterbi_floats].
  void (*viterbi)(const CrfGroup& group, const CrfScoredMoves& moves, const float* emissions_nk,
                  float* scratch, int32_t* tags_n, bool* legal);
  int64_t viterbi_floats(int64_t steps, int64_t K) const { return steps * K * lanes; }
};

/// The kernels of the instruction set in use.
const CrfKernels& crf_kernels();

}  // namespace albert_ner::core
