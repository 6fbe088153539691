// The steps of the forward-backward recursion, in log space, for host and device alike. No tensors here.
//
//   alpha[t, j] = log sum over tag paths of rows 0..t that end in j      alpha[0, j] = start[j] + e[0, j]
//   alpha[t, j] = log_sum_exp_i(alpha[t-1, i] + transitions[i, j]) + e[t, j]
//   beta[t, i]  = log_sum_exp_j(transitions[i, j] + e[t+1, j] + beta[t+1, j])      beta[T-1, i] = end[i]
//   log Z       = log_sum_exp_j(alpha[T-1, j] + end[j])
//
// Invariants, each once broken:
//   1. -inf minus -inf never happens: a set of terms that are all -inf has the sum -inf, and is never
//      normalised.
//   2. Probabilities are normalised over the terms they are made of, not by log Z: at scores of 1e15 and more
//      the rounding of log Z alone exceeds 1, and exp(alpha + beta - log Z) would be anything up to infinity.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace albert_ner::core {

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

/// exp(largest) * sum, a sum of exponentials shifted by the largest exponent; sum is 0 if every exponent is
/// -inf.
struct ScaledSum {
  double largest;
  double sum;
};

/// sum_k exp(term(k)) (invariant 1).
template <typename Term>
ALBERT_NER_HOST_DEVICE ScaledSum scaled_sum_exp(int64_t count, Term term) {
  ScaledSum total{largest_term(count, term), 0};
  if (total.largest == -HUGE_VAL) return total;
  for (int64_t k = 0; k < count; ++k) total.sum += std::exp(term(k) - total.largest);
  return total;
}

ALBERT_NER_HOST_DEVICE inline double log_of(const ScaledSum& total) {
  return total.largest == -HUGE_VAL ? total.largest : total.largest + std::log(total.sum);
}

/// log sum_k exp(term(k)).
template <typename Term>
ALBERT_NER_HOST_DEVICE double log_sum_exp(int64_t count, Term term) {
  return log_of(scaled_sum_exp(count, term));
}

/// The share of one exponential in a sum it is part of (invariant 2).
ALBERT_NER_HOST_DEVICE inline double share_of(const ScaledSum& total, double term) {
  return std::exp(term - total.largest) / total.sum;
}

/// A highest score and the lowest index that has it.
struct HighestTerm {
  double score;
  int32_t index;
};

/// -inf and 0 when every term is -inf.
template <typename Term>
ALBERT_NER_HOST_DEVICE HighestTerm highest_term(int64_t count, Term term) {
  HighestTerm highest{-HUGE_VAL, 0};
  for (int64_t k = 0; k < count; ++k) {
    const double score = term(k);
    if (score > highest.score) highest = {score, static_cast<int32_t>(k)};
  }
  return highest;
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

/// sum_i exp(alpha[t-1, i] + transitions[i, j]).
ALBERT_NER_HOST_DEVICE inline ScaledSum arriving_sum(int64_t K, const double* transitions_kk,
                                                     const double* previous_alphas_k, int64_t j) {
  return scaled_sum_exp(K, [=](int64_t i) { return previous_alphas_k[i] + transitions_kk[i * K + j]; });
}

/// alpha[t, j] from the row before.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE double alpha_step(int64_t K, const double* transitions_kk,
                                         const double* previous_alphas_k, const scalar_t* emissions_k,
                                         int64_t j) {
  return log_of(arriving_sum(K, transitions_kk, previous_alphas_k, j)) + static_cast<double>(emissions_k[j]);
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

/// What the probability of a span is made of.
template <typename scalar_t>
struct CrfSpanTables {
  int64_t K;
  const double* transitions_kk;
  const scalar_t* emissions_nk;
  const int32_t* tags_n;
  const int32_t* continuation_k;
  const double* alphas_nk;
  const double* betas_nk;
};

/// Probability of rows first..last-1 having their tags without being continued, as a product of probabilities
/// (invariant 2): P(y_first) prod_t P(y_t | y_t-1) P(not continued | y_last-1).
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE double crf_span_probability(const CrfSpanTables<scalar_t>& tables, int64_t first,
                                                   int64_t last, int64_t sentence_end) {
  const int64_t K = tables.K;
  const double* alphas = tables.alphas_nk + first * K;
  const double* betas = tables.betas_nk + first * K;
  auto onward = [&](int64_t row, int64_t from, int64_t to) {
    return onward_score(K, tables.transitions_kk, tables.emissions_nk + row * K, tables.betas_nk + row * K,
                        from, to);
  };
  int32_t tag = tables.tags_n[first];
  double log_probability =
      alphas[tag] + betas[tag] - log_sum_exp(K, [&](int64_t j) { return alphas[j] + betas[j]; });
  for (int64_t row = first + 1; row < last; ++row) {
    if (log_probability == -HUGE_VAL) return 0;  // invariant 1: the next beta may be -inf too
    const double every_way = tables.betas_nk[(row - 1) * K + tag];
    log_probability += onward(row, tag, tables.tags_n[row]) - every_way;
    tag = tables.tags_n[row];
  }
  if (log_probability == -HUGE_VAL) return 0;
  const int32_t continuation = tables.continuation_k[tag];
  if (last < sentence_end && continuation != -1) {
    const double leaving =
        log_sum_exp(K, [&](int64_t j) { return j == continuation ? -HUGE_VAL : onward(last, tag, j); });
    log_probability += leaving - tables.betas_nk[(last - 1) * K + tag];
  }
  const double probability = std::exp(log_probability);
  return probability > 1 ? 1 : probability;
}

}  // namespace albert_ner::core
