#include "core/crf/crf_scores.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "common/check.h"
#include "core/crf/crf_kernels.h"

namespace albert_ner::core {
namespace {

/// Sums of 2^31 scores of this size still are float64 numbers. float32 never reaches it.
constexpr double kLargestScore = 1e280;

CrfScan scan(const float* values, int64_t count) {
  return crf_kernels().scan(values, count);
}

CrfScan scan(const double* values, int64_t count) {
  CrfScan facts{true, false, 0};
  for (int64_t k = 0; k < count; ++k) {
    if (values[k] == kNegativeInfinity) {
      facts.has_forbidden = true;
    } else if (!(std::abs(values[k]) <= kLargestScore)) {
      facts.valid = false;
    }
  }
  return facts;
}

/// -inf is a score, NaN and +inf aren't: one of them would spread over the sentence.
template <typename scalar_t>
[[noreturn]] void refuse(const scalar_t* values, int64_t count, int64_t width, const char* name) {
  const scalar_t* bad = std::find_if(values, values + count, [](double value) {
    return !(std::abs(value) <= kLargestScore) && value != kNegativeInfinity;
  });
  std::ostringstream received;
  received << *bad << " in row " << (bad - values) / width;
  throw_invalid(name, "-inf or finite scores up to 1e280", received.str());
}

}  // namespace

template <typename scalar_t>
CrfScoreFacts check_scores(const CrfShape& shape, const scalar_t* emissions_nk,
                           const CrfMoveScores<scalar_t>& moves) {
  CrfScoreFacts facts{false, 0};
  auto check = [&](const scalar_t* values, int64_t rows, int64_t width, const char* name) {
    const CrfScan found = scan(values, rows * width);
    if (!found.valid) refuse(values, rows * width, width, name);
    facts.largest_magnitude = std::max(facts.largest_magnitude, static_cast<double>(found.largest_magnitude));
    return found.has_forbidden;
  };
  const int64_t K = shape.K;
  facts.emissions_forbid = check(emissions_nk, shape.N, K, "emissions");
  check(moves.transitions_kk, K, K, "transitions");
  check(moves.start_k, K, 1, "start_transitions");
  check(moves.end_k, K, 1, "end_transitions");
  return facts;
}

template CrfScoreFacts check_scores(const CrfShape& shape, const float* emissions_nk,
                                    const CrfMoveScores<float>& moves);
template CrfScoreFacts check_scores(const CrfShape& shape, const double* emissions_nk,
                                    const CrfMoveScores<double>& moves);

void check_paths(const std::vector<double>& log_scores_b) {
  const auto bad = std::find(log_scores_b.begin(), log_scores_b.end(), kNegativeInfinity);
  if (bad == log_scores_b.end()) return;
  throw_invalid("transitions", "a legal path for every sentence",
                "none for sentence " + std::to_string(bad - log_scores_b.begin()));
}

}  // namespace albert_ner::core
