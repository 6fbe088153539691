// The step of the forward-backward recursion, in log space, for host and device alike. No tensors here.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__CUDACC__)
#define ALBERT_NER_HOST_DEVICE __host__ __device__
#else
#define ALBERT_NER_HOST_DEVICE
#endif

namespace albert_ner::ops {

/// Sizes of a CRF problem.
struct CrfShape {
  int64_t B;
  int64_t N;
  int64_t K;
};

/// log sum_k exp(term(k)) over k in [0, count), shifted by the largest term; -inf when every term is.
template <typename Term>
ALBERT_NER_HOST_DEVICE double log_sum_exp(int64_t count, Term term) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t k = 0; k < count; ++k) largest = std::fmax(largest, term(k));
  if (largest == -std::numeric_limits<double>::infinity()) return largest;
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += std::exp(term(k) - largest);
  return largest + std::log(sum);
}

}  // namespace albert_ner::ops
