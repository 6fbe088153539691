#include "ops/crf/crf_scores.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "ops/crf/crf_kernels.h"
#include "ops/support/packed.h"

namespace albert_ner::ops {
namespace {

/// Sums of 2^31 scores of this size still are float64 numbers. float32 never reaches it.
constexpr double kLargestScore = 1e280;

CrfScan scan(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) {
    return crf_kernels().scan(tensor.const_data_ptr<float>(), tensor.numel());
  }
  CrfScan facts{true, false, 0};
  const double* values = tensor.const_data_ptr<double>();
  for (int64_t k = 0; k < tensor.numel(); ++k) {
    if (values[k] == kNegativeInfinity) {
      facts.has_forbidden = true;
    } else if (!(std::abs(values[k]) <= kLargestScore)) {
      facts.valid = false;
    }
  }
  return facts;
}

/// -inf is a score, NaN and +inf aren't: one of them would spread over the sentence.
[[noreturn]] void refuse(const at::Tensor& tensor, const char* name) {
  const at::Tensor wide = tensor.to(at::kDouble);
  const double* values = wide.const_data_ptr<double>();
  const double* bad = std::find_if(values, values + wide.numel(), [](double value) {
    return !(std::abs(value) <= kLargestScore) && value != kNegativeInfinity;
  });
  const int64_t width = tensor.dim() == 2 ? tensor.size(1) : 1;
  std::ostringstream received;
  received << *bad << " in row " << (bad - values) / width;
  throw_invalid(name, "-inf or finite scores up to 1e280", received.str());
}

}  // namespace

CrfScoreFacts check_scores(const CrfTensors& problem) {
  CrfScoreFacts facts{false, 0};
  auto check = [&](const at::Tensor& tensor, const char* name) {
    const CrfScan found = scan(tensor);
    if (!found.valid) refuse(tensor, name);
    facts.largest_magnitude = std::max(facts.largest_magnitude, static_cast<double>(found.largest_magnitude));
    return found.has_forbidden;
  };
  facts.emissions_forbid = check(problem.emissions, "emissions");
  check(problem.transitions, "transitions");
  check(problem.start_transitions, "start_transitions");
  check(problem.end_transitions, "end_transitions");
  return facts;
}

void check_paths(const std::vector<double>& log_scores_b) {
  const auto bad = std::find(log_scores_b.begin(), log_scores_b.end(), kNegativeInfinity);
  if (bad == log_scores_b.end()) return;
  throw_invalid("transitions", "a legal path for every sentence",
                "none for sentence " + std::to_string(bad - log_scores_b.begin()));
}

}  // namespace albert_ner::ops
