// The steps of the forward-backward recursion, in log space, for host and device alike. No tensors here.
//
//   alpha[t, j] = log sum over tag paths of rows 0..t that end in j      alpha[0, j] = start[j] + e[0, j]
//   alpha[t, j] = log_sum_exp_i(alpha[t-1, i] + transitions[i, j]) + e[t, j]
//   beta[t, i]  = log_sum_exp_j(transitions[i, j] + e[t+1, j] + beta[t+1, j])      beta[T-1, i] = end[i]
//   log Z       = log_sum_exp_j(alpha[T-1, j] + end[j])
//
// Invariants, each once broken:
//   1. -inf minus -inf never happens: a set of terms that are all -inf has the sum -inf, and is never
//   normalised.
//   2. Probabilities are normalised over the terms they are made of, not by log Z: at scores of 1e15 and more
//   the
//      rounding of log Z alone exceeds 1, and exp(alpha + beta - log Z) would be anything up to infinity.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/support/host_device.h"

namespace albert_ner::ops {

/// Sizes of a CRF problem.
struct CrfShape {
  int64_t B;
  int64_t N;
  int64_t K;
};

/// The largest of term(k), k in [0, count); -inf when every term is.
template <typename Term>
ALBERT_NER_HOST_DEVICE double largest_term(int64_t count, Term term) {
  double largest = -HUGE_VAL;
  for (int64_t k = 0; k < count; ++k) {
    const double value = term(k);
    largest = value > largest ? value : largest;
  }
  return largest;
}

/// log sum_k exp(term(k)), shifted by the largest term (invariant 1).
template <typename Term>
ALBERT_NER_HOST_DEVICE double log_sum_exp(int64_t count, Term term) {
  const double largest = largest_term(count, term);
  if (largest == -HUGE_VAL) return largest;
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += std::exp(term(k) - largest);
  return largest + std::log(sum);
}

/// probability[k] = exp(term(k)) / sum_l exp(term(l)); at least one term must be above -inf (invariants 1 and
/// 2).
template <typename Term>
ALBERT_NER_HOST_DEVICE void normalize_exp(int64_t count, Term term, double* probability) {
  const double largest = largest_term(count, term);
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    probability[k] = std::exp(term(k) - largest);
    sum += probability[k];
  }
  for (int64_t k = 0; k < count; ++k) probability[k] /= sum;
}

/// Score of every way on from a row through the move i -> j: the move, the next row's emission and what
/// follows it.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE double onward_score(int64_t K, const double* transitions_kk,
                                           const scalar_t* next_emissions_k, const double* next_betas_k,
                                           int64_t i, int64_t j) {
  return transitions_kk[i * K + j] + static_cast<double>(next_emissions_k[j]) + next_betas_k[j];
}

/// alpha[t, j] from the row before.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE double alpha_step(int64_t K, const double* transitions_kk,
                                         const double* previous_alphas_k, const scalar_t* emissions_k,
                                         int64_t j) {
  const double arriving =
      log_sum_exp(K, [=](int64_t i) { return previous_alphas_k[i] + transitions_kk[i * K + j]; });
  return arriving + static_cast<double>(emissions_k[j]);
}

/// beta[t, i] from the row after.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE double beta_step(int64_t K, const double* transitions_kk,
                                        const scalar_t* next_emissions_k, const double* next_betas_k,
                                        int64_t i) {
  return log_sum_exp(
      K, [=](int64_t j) { return onward_score(K, transitions_kk, next_emissions_k, next_betas_k, i, j); });
}

/// marginals_k[j] = P(y_t = j) of a row on a legal path; sums to 1.
ALBERT_NER_HOST_DEVICE inline void row_marginals(int64_t K, const double* alphas_k, const double* betas_k,
                                                 double* marginals_k) {
  normalize_exp(K, [=](int64_t j) { return alphas_k[j] + betas_k[j]; }, marginals_k);
}

/// origins_k[i] = P(y_t-1 = i | y_t = j) for a tag j with a probability above 0; sums to 1.
ALBERT_NER_HOST_DEVICE inline void origin_probabilities(int64_t K, const double* transitions_kk,
                                                        const double* previous_alphas_k, int64_t j,
                                                        double* origins_k) {
  normalize_exp(K, [=](int64_t i) { return previous_alphas_k[i] + transitions_kk[i * K + j]; }, origins_k);
}

}  // namespace albert_ner::ops
