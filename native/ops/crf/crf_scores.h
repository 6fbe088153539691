// What the CRF's CPU kernels ask of the values of scores; shapes and indices were validated by crf.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "ops/crf/crf_math.h"

namespace albert_ner::ops {

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

/// The tensors of a problem, as crf.h describes them.
struct CrfTensors {
  const at::Tensor& emissions;
  const at::Tensor& offsets;
  const at::Tensor& transitions;
  const at::Tensor& start_transitions;
  const at::Tensor& end_transitions;

  CrfShape shape() const { return {offsets.numel() - 1, emissions.size(0), emissions.size(1)}; }
  template <typename scalar_t>
  CrfMoveScores<scalar_t> moves() const {
    return {transitions.const_data_ptr<scalar_t>(), start_transitions.const_data_ptr<scalar_t>(),
            end_transitions.const_data_ptr<scalar_t>()};
  }
};

struct CrfScoreFacts {
  bool emissions_forbid;     // some are -inf
  double largest_magnitude;  // of all finite scores
};

/// Throws kInvalidArgument for NaN, +inf and scores beyond 1e280, naming tensor and row.
CrfScoreFacts check_scores(const CrfTensors& problem);

/// Every sentence must have a path above -inf. Called after the parallel work, so that the first bad one is
/// named.
void check_paths(const std::vector<double>& log_scores_b);

}  // namespace albert_ner::ops
