// The values of a CRF's scores: which are refused, and where they lie. Shapes and indices are the caller's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/crf/crf_math.h"

namespace albert_ner::core {

constexpr double kNegativeInfinity = -std::numeric_limits<double>::infinity();

/// Scores of the moves.
template <typename scalar_t>
struct CrfMoveScores {
  const scalar_t* transitions_kk;
  const scalar_t* start_k;
  const scalar_t* end_k;
};

/// Sums of the moves' gradients.
struct CrfMoveSums {
  std::vector<double> transitions_kk;
  std::vector<double> start_k;
  std::vector<double> end_k;

  explicit CrfMoveSums(int64_t K) : transitions_kk(K * K), start_k(K), end_k(K) {}

  void clear() {
    for (std::vector<double>* values : {&transitions_kk, &start_k, &end_k}) {
      std::fill(values->begin(), values->end(), 0.0);
    }
  }

  void add(const CrfMoveSums& other) {
    for (const auto member : {&CrfMoveSums::transitions_kk, &CrfMoveSums::start_k, &CrfMoveSums::end_k}) {
      for (size_t k = 0; k < (this->*member).size(); ++k) (this->*member)[k] += (other.*member)[k];
    }
  }
};

struct CrfScoreFacts {
  bool emissions_forbid;     // some are -inf
  double largest_magnitude;  // of all finite scores
};

/// Throws kInvalidArgument for NaN, +inf and scores beyond 1e280, naming array and row. For float and double.
template <typename scalar_t>
CrfScoreFacts check_scores(const CrfShape& shape, const scalar_t* emissions_nk,
                           const CrfMoveScores<scalar_t>& moves);

/// Every sentence must have a path above -inf. Called after the parallel work, so that the first bad one is
/// named.
void check_paths(const std::vector<double>& log_scores_b);

}  // namespace albert_ner::core
