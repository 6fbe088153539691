// The CRF in log space and float64, a sentence at a time: the plain version that is right for every input.
// All of float64 goes through here, and the sentences of float32 whose scores spread too far for
// crf_kernels.h. The recursion stands in crf_math.h.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "core/crf/crf_math.h"
#include "core/crf/crf_scores.h"
#include "core/parallel.h"

namespace albert_ner::core {

/// Sentences per unit of parallel work: enough to outweigh the dispatch of a task.
constexpr int64_t kSentencesPerChunk = 8;

struct Rows {
  int64_t begin;
  int64_t end;

  int64_t count() const { return end - begin; }
};

/// The scores of a problem with the three transition tensors widened to float64 once.
template <typename scalar_t>
struct Scores {
  CrfShape shape;
  const scalar_t* emissions_nk;
  const int32_t* offsets;
  std::vector<double> transitions_kk;
  std::vector<double> start_k;
  std::vector<double> end_k;

  Scores(const CrfShape& shape_bnk, const scalar_t* emissions, const int32_t* offsets_b1,
         const CrfMoveScores<scalar_t>& moves)
      : shape(shape_bnk),
        emissions_nk(emissions),
        offsets(offsets_b1),
        transitions_kk(moves.transitions_kk, moves.transitions_kk + shape.K * shape.K),
        start_k(moves.start_k, moves.start_k + shape.K),
        end_k(moves.end_k, moves.end_k + shape.K) {}

  Rows rows(int64_t sentence) const { return {offsets[sentence], offsets[sentence + 1]}; }
  const scalar_t* emissions_of(int64_t row) const { return emissions_nk + row * shape.K; }
  double emission(int64_t row, int64_t tag) const { return static_cast<double>(emissions_of(row)[tag]); }
  double transition(int64_t from, int64_t to) const { return transitions_kk[from * shape.K + to]; }
};

/// alphas [rows, K] of one sentence; returns log Z: 0 for an empty sentence, -inf for one without a legal
/// path.
template <typename scalar_t>
double forward(const Scores<scalar_t>& scores, int64_t sentence, double* alphas) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return 0;
  for (int64_t j = 0; j < K; ++j) alphas[j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row, alphas += K) {
    for (int64_t j = 0; j < K; ++j) {
      alphas[K + j] = alpha_step(K, scores.transitions_kk.data(), alphas, scores.emissions_of(row), j);
    }
  }
  return log_sum_exp(K, [&](int64_t j) { return alphas[j] + scores.end_k[j]; });
}

/// Calls visit(row, betas_k) for the rows of a sentence from last to first.
template <typename scalar_t, typename Visit>
void for_each_beta(const Scores<scalar_t>& scores, int64_t sentence, std::vector<double>& scratch_2k,
                   Visit visit) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  double* betas = scratch_2k.data();
  double* previous = betas + K;
  std::copy(scores.end_k.begin(), scores.end_k.end(), betas);
  for (int64_t row = end - 1; row >= begin; --row) {
    visit(row, static_cast<const double*>(betas));
    if (row == begin) break;
    for (int64_t i = 0; i < K; ++i) {
      previous[i] = beta_step(K, scores.transitions_kk.data(), scores.emissions_of(row), betas, i);
    }
    std::swap(betas, previous);
  }
}

/// body(chunk, first sentence, end sentence), in parallel.
template <typename Body>
void for_each_chunk(int64_t sentence_count, Body body) {
  for_each_stretch(sentence_count, kSentencesPerChunk, [&](int64_t first, int64_t count) {
    body(first / kSentencesPerChunk, first, first + count);
  });
}

/// Score of the given tags of one sentence; 0 when it is empty.
template <typename scalar_t>
double path_score(const Scores<scalar_t>& scores, int64_t sentence, const int32_t* tags_n) {
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return 0;
  double score = scores.start_k[tags_n[begin]] + scores.emission(begin, tags_n[begin]);
  for (int64_t row = begin + 1; row < end; ++row) {
    score += scores.transition(tags_n[row - 1], tags_n[row]) + scores.emission(row, tags_n[row]);
  }
  return score + scores.end_k[tags_n[end - 1]];
}

/// Sums over sentences, and room to work in.
struct SentenceSums : CrfMoveSums {
  std::vector<double> betas_2k;
  std::vector<double> marginals_k;
  std::vector<double> origins_k;

  explicit SentenceSums(int64_t K) : CrfMoveSums(K), betas_2k(2 * K), marginals_k(K), origins_k(K) {}
};

/// Adds weight * expected counts of one sentence, the gradient of its log Z.
///   d log Z / d e[t, j] = P(y_t = j)
///   d log Z / d transitions[i, j] = sum_t P(y_t-1 = i | y_t = j) P(y_t = j)
template <typename scalar_t>
void add_expected(const Scores<scalar_t>& scores, int64_t sentence, double weight,
                  const double* sentence_alphas, scalar_t* d_emissions_nk, SentenceSums& sums) {
  const int64_t K = scores.shape.K;
  const Rows rows = scores.rows(sentence);
  for_each_beta(scores, sentence, sums.betas_2k, [&](int64_t row, const double* betas) {
    const double* alphas = sentence_alphas + (row - rows.begin) * K;
    row_marginals(K, alphas, betas, sums.marginals_k.data());
    for (int64_t j = 0; j < K; ++j) {
      const double marginal = weight * sums.marginals_k[j];
      if (marginal == 0) continue;
      d_emissions_nk[row * K + j] += static_cast<scalar_t>(marginal);
      if (row == rows.begin) sums.start_k[j] += marginal;
      if (row == rows.end - 1) sums.end_k[j] += marginal;
      if (row == rows.begin) continue;
      origin_probabilities(K, scores.transitions_kk.data(), alphas - K, j, sums.origins_k.data());
      for (int64_t i = 0; i < K; ++i) sums.transitions_kk[i * K + j] += marginal * sums.origins_k[i];
    }
  });
}

/// Adds weight * counts of the given tags of one sentence, the gradient of their path's score.
template <typename scalar_t>
void add_observed(const Scores<scalar_t>& scores, int64_t sentence, double weight, const int32_t* tags_n,
                  scalar_t* d_emissions_nk, CrfMoveSums& sums) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return;
  sums.start_k[tags_n[begin]] += weight;
  sums.end_k[tags_n[end - 1]] += weight;
  for (int64_t row = begin; row < end; ++row) {
    d_emissions_nk[row * K + tags_n[row]] += static_cast<scalar_t>(weight);
    if (row > begin) sums.transitions_kk[tags_n[row - 1] * K + tags_n[row]] += weight;
  }
}

}  // namespace albert_ner::core
