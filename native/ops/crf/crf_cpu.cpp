// CPU kernels of the CRF, in log space and float64: the plain version that is right for every input. The
// recursion stands in crf_math.h. Shapes and indices were validated by crf.cpp; only the values of scores are
// checked here. Longer than other files, since the kernels share walks over a sentence that nothing else
// needs.
//
// Sentences are independent; sums over them run in a fixed order, so results don't depend on the number of
// threads.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

#include "ops/crf/crf_math.h"
#include "ops/support/packed.h"

namespace albert_ner::ops {
namespace {

constexpr double kNegativeInfinity = -std::numeric_limits<double>::infinity();

/// Sums of 2^31 scores of this size still are float64 numbers. float32 never reaches it.
constexpr double kLargestScore = 1e280;

/// Sentences per unit of parallel work: enough to outweigh the dispatch of a task.
constexpr int64_t kSentencesPerChunk = 8;

/// -inf is a score, NaN and +inf aren't: one of them would spread over the sentence.
void check_scores(const at::Tensor& tensor, const char* name) {
  const int64_t width = tensor.dim() == 2 ? tensor.size(1) : 1;
  AT_DISPATCH_FLOATING_TYPES(tensor.scalar_type(), "check_scores", [&] {
    const scalar_t* values = tensor.const_data_ptr<scalar_t>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const double value = static_cast<double>(values[i]);
      if (std::abs(value) <= kLargestScore || value == kNegativeInfinity) continue;
      std::ostringstream received;
      received << value << " in row " << i / width;
      throw_invalid(name, "-inf or finite scores up to 1e280", received.str());
    }
  });
}

void check_scores(const at::Tensor& emissions, const at::Tensor& transitions,
                  const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  check_scores(emissions, "emissions");
  check_scores(transitions, "transitions");
  check_scores(start_transitions, "start_transitions");
  check_scores(end_transitions, "end_transitions");
}

/// Every sentence must have a path above -inf. Called after the parallel work, so that the first bad one is
/// named.
void check_paths(const std::vector<double>& log_scores_b) {
  const auto bad = std::find(log_scores_b.begin(), log_scores_b.end(), kNegativeInfinity);
  if (bad == log_scores_b.end()) return;
  throw_invalid("transitions", "a legal path for every sentence",
                "none for sentence " + std::to_string(bad - log_scores_b.begin()));
}

struct Rows {
  int64_t begin;
  int64_t end;
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

  Scores(const at::Tensor& emissions, const at::Tensor& offsets_tensor, const at::Tensor& transitions,
         const at::Tensor& start_transitions, const at::Tensor& end_transitions)
      : shape{offsets_tensor.numel() - 1, emissions.size(0), emissions.size(1)},
        emissions_nk(emissions.const_data_ptr<scalar_t>()),
        offsets(offsets_tensor.const_data_ptr<int32_t>()),
        transitions_kk(widen(transitions)),
        start_k(widen(start_transitions)),
        end_k(widen(end_transitions)) {}

  Rows rows(int64_t sentence) const { return {offsets[sentence], offsets[sentence + 1]}; }
  const scalar_t* emissions_of(int64_t row) const { return emissions_nk + row * shape.K; }
  double emission(int64_t row, int64_t tag) const { return static_cast<double>(emissions_of(row)[tag]); }
  double transition(int64_t from, int64_t to) const { return transitions_kk[from * shape.K + to]; }

 private:
  static std::vector<double> widen(const at::Tensor& tensor) {
    const scalar_t* values = tensor.const_data_ptr<scalar_t>();
    return std::vector<double>(values, values + tensor.numel());
  }
};

/// alphas_nk of one sentence; returns log Z: 0 for an empty sentence, -inf for one without a legal path.
template <typename scalar_t>
double forward(const Scores<scalar_t>& scores, int64_t sentence, double* alphas_nk) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return 0;
  for (int64_t j = 0; j < K; ++j) alphas_nk[begin * K + j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row) {
    const double* previous = alphas_nk + (row - 1) * K;
    for (int64_t j = 0; j < K; ++j) {
      alphas_nk[row * K + j] =
          alpha_step(K, scores.transitions_kk.data(), previous, scores.emissions_of(row), j);
    }
  }
  const double* last = alphas_nk + (end - 1) * K;
  return log_sum_exp(K, [&](int64_t j) { return last[j] + scores.end_k[j]; });
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
  const int64_t chunk_count = (sentence_count + kSentencesPerChunk - 1) / kSentencesPerChunk;
  at::parallel_for(0, chunk_count, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      body(chunk, chunk * kSentencesPerChunk, std::min((chunk + 1) * kSentencesPerChunk, sentence_count));
    }
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

std::tuple<at::Tensor, at::Tensor> crf_nll_forward(const at::Tensor& emissions, const at::Tensor& tags,
                                                   const at::Tensor& offsets, const at::Tensor& transitions,
                                                   const at::Tensor& start_transitions,
                                                   const at::Tensor& end_transitions) {
  check_scores(emissions, transitions, start_transitions, end_transitions);
  const int64_t B = offsets.numel() - 1;
  at::Tensor nll = at::empty({B}, emissions.options());                                      // [B]
  at::Tensor alphas = at::empty(emissions.sizes(), emissions.options().dtype(at::kDouble));  // [N, K]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_forward", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    scalar_t* nll_b = nll.mutable_data_ptr<scalar_t>();
    double* alphas_nk = alphas.mutable_data_ptr<double>();
    std::vector<double> log_z(B);
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        log_z[b] = forward(scores, b, alphas_nk);
        // Rounding may put the path's score an ulp above log Z; a likelihood above 1 doesn't exist.
        nll_b[b] = static_cast<scalar_t>(std::max(log_z[b] - path_score(scores, b, tags_n), 0.0));
      }
    });
    check_paths(log_z);
  });
  return {nll, alphas};
}

/// Sums over the sentences of one chunk, and room to work in.
struct ChunkGradients {
  std::vector<double> transitions_kk;
  std::vector<double> start_k;
  std::vector<double> end_k;
  std::vector<double> betas_2k;
  std::vector<double> marginals_k;
  std::vector<double> origins_k;

  explicit ChunkGradients(int64_t K)
      : transitions_kk(K * K), start_k(K), end_k(K), betas_2k(2 * K), marginals_k(K), origins_k(K) {}
};

/// Adds weight * expected counts of one sentence, the gradient of its log Z.
///   d log Z / d e[t, j] = P(y_t = j)
///   d log Z / d transitions[i, j] = sum_t P(y_t-1 = i | y_t = j) P(y_t = j)
template <typename scalar_t>
void add_expected(const Scores<scalar_t>& scores, int64_t sentence, double weight, const double* alphas_nk,
                  scalar_t* d_emissions_nk, ChunkGradients& sums) {
  const int64_t K = scores.shape.K;
  const Rows rows = scores.rows(sentence);
  for_each_beta(scores, sentence, sums.betas_2k, [&](int64_t row, const double* betas) {
    const double* alphas = alphas_nk + row * K;
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
                  scalar_t* d_emissions_nk, ChunkGradients& sums) {
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

/// Sum of one member over the chunks: in float64, in order, then one rounding.
at::Tensor reduce(const std::vector<ChunkGradients>& chunks, std::vector<double> ChunkGradients::* member,
                  at::IntArrayRef shape, const at::TensorOptions& options) {
  at::Tensor total = at::empty(shape, options);
  AT_DISPATCH_FLOATING_TYPES(total.scalar_type(), "crf_reduce", [&] {
    scalar_t* out = total.mutable_data_ptr<scalar_t>();
    for (int64_t k = 0; k < total.numel(); ++k) {
      double sum = 0;
      for (const ChunkGradients& chunk : chunks) sum += (chunk.*member)[k];
      out[k] = static_cast<scalar_t>(sum);
    }
  });
  return total;
}

using CrfGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// What add(b, d_emissions_nk, sums) adds for every sentence.
template <typename scalar_t, typename Add>
CrfGradients gradients(const at::Tensor& emissions, int64_t B, Add add) {
  const int64_t K = emissions.size(1);
  at::Tensor d_emissions = at::zeros(emissions.sizes(), emissions.options());  // [N, K]
  scalar_t* d_emissions_nk = d_emissions.mutable_data_ptr<scalar_t>();
  std::vector<ChunkGradients> chunks((B + kSentencesPerChunk - 1) / kSentencesPerChunk, ChunkGradients(K));
  for_each_chunk(B, [&](int64_t chunk, int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) add(b, d_emissions_nk, chunks[chunk]);
  });
  const at::TensorOptions options = emissions.options();
  return {d_emissions, reduce(chunks, &ChunkGradients::transitions_kk, {K, K}, options),
          reduce(chunks, &ChunkGradients::start_k, {K}, options),
          reduce(chunks, &ChunkGradients::end_k, {K}, options)};
}

CrfGradients crf_nll_backward(const at::Tensor& grad_nll, const at::Tensor& emissions, const at::Tensor& tags,
                              const at::Tensor& offsets, const at::Tensor& transitions,
                              const at::Tensor& start_transitions, const at::Tensor& end_transitions,
                              const at::Tensor& alphas) {
  return AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_backward", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    const scalar_t* grad_b = grad_nll.const_data_ptr<scalar_t>();
    const double* alphas_nk = alphas.const_data_ptr<double>();
    return gradients<scalar_t>(emissions, scores.shape.B,
                               [&](int64_t b, scalar_t* d_emissions_nk, ChunkGradients& sums) {
                                 const double weight = static_cast<double>(grad_b[b]);
                                 add_expected(scores, b, weight, alphas_nk, d_emissions_nk, sums);
                                 add_observed(scores, b, -weight, tags_n, d_emissions_nk, sums);
                               });
  });
}

/// Emissions with -inf wherever a tag isn't allowed.
at::Tensor only_allowed(const at::Tensor& emissions, const at::Tensor& allowed) {
  return emissions.masked_fill(allowed.logical_not(), kNegativeInfinity);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> crf_partial_nll_forward(
    const at::Tensor& emissions, const at::Tensor& allowed, const at::Tensor& offsets,
    const at::Tensor& transitions, const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  check_scores(emissions, transitions, start_transitions, end_transitions);
  const int64_t B = offsets.numel() - 1;
  const at::Tensor constrained = only_allowed(emissions, allowed);
  at::Tensor nll = at::empty({B}, emissions.options());                                      // [B]
  at::Tensor alphas = at::empty(emissions.sizes(), emissions.options().dtype(at::kDouble));  // [N, K]
  at::Tensor constrained_alphas = at::empty_like(alphas);                                    // [N, K]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_partial_nll_forward", [&] {
    const Scores<scalar_t> free(emissions, offsets, transitions, start_transitions, end_transitions);
    const Scores<scalar_t> fixed(constrained, offsets, transitions, start_transitions, end_transitions);
    scalar_t* nll_b = nll.mutable_data_ptr<scalar_t>();
    double* alphas_nk = alphas.mutable_data_ptr<double>();
    double* fixed_alphas_nk = constrained_alphas.mutable_data_ptr<double>();
    std::vector<double> log_z(B);
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        log_z[b] = forward(fixed, b, fixed_alphas_nk);
        // As in crf_nll: rounding must not make a likelihood above 1.
        nll_b[b] = static_cast<scalar_t>(std::max(forward(free, b, alphas_nk) - log_z[b], 0.0));
      }
    });
    check_paths(log_z);
  });
  return {nll, alphas, constrained_alphas};
}

CrfGradients crf_partial_nll_backward(const at::Tensor& grad_nll, const at::Tensor& emissions,
                                      const at::Tensor& allowed, const at::Tensor& offsets,
                                      const at::Tensor& transitions, const at::Tensor& start_transitions,
                                      const at::Tensor& end_transitions, const at::Tensor& alphas,
                                      const at::Tensor& constrained_alphas) {
  const at::Tensor constrained = only_allowed(emissions, allowed);
  return AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_partial_nll_backward", [&] {
    const Scores<scalar_t> free(emissions, offsets, transitions, start_transitions, end_transitions);
    const Scores<scalar_t> fixed(constrained, offsets, transitions, start_transitions, end_transitions);
    const scalar_t* grad_b = grad_nll.const_data_ptr<scalar_t>();
    const double* alphas_nk = alphas.const_data_ptr<double>();
    const double* fixed_alphas_nk = constrained_alphas.const_data_ptr<double>();
    return gradients<scalar_t>(emissions, free.shape.B,
                               [&](int64_t b, scalar_t* d_emissions_nk, ChunkGradients& sums) {
                                 const double weight = static_cast<double>(grad_b[b]);
                                 add_expected(free, b, weight, alphas_nk, d_emissions_nk, sums);
                                 add_expected(fixed, b, -weight, fixed_alphas_nk, d_emissions_nk, sums);
                               });
  });
}

/// The first of the highest scores: of equal ones the lowest index.
template <typename Score>
std::pair<double, int32_t> best_of(int64_t count, Score score) {
  std::pair<double, int32_t> best{kNegativeInfinity, 0};
  for (int64_t k = 0; k < count; ++k) {
    if (const double value = score(k); value > best.first) best = {value, static_cast<int32_t>(k)};
  }
  return best;
}

/// Best path of one sentence into tags_n; returns its score: 0 when empty, -inf and no tags without a legal
/// path.
template <typename scalar_t>
double viterbi(const Scores<scalar_t>& scores, int64_t sentence, std::vector<double>& scratch_2k,
               std::vector<int32_t>& back_tk, int32_t* tags_n) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return 0;
  back_tk.resize((end - begin) * K);
  double* best = scratch_2k.data();
  double* next = best + K;
  for (int64_t j = 0; j < K; ++j) best[j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row) {
    for (int64_t j = 0; j < K; ++j) {
      const auto [highest, from] = best_of(K, [&](int64_t i) { return best[i] + scores.transition(i, j); });
      next[j] = highest + scores.emission(row, j);
      back_tk[(row - begin) * K + j] = from;
    }
    std::swap(best, next);
  }
  auto [highest, tag] = best_of(K, [&](int64_t j) { return best[j] + scores.end_k[j]; });
  if (highest == kNegativeInfinity) return highest;
  // A tag with a score above -inf was reached from one with a score above -inf: the path is legal throughout.
  for (int64_t row = end - 1; row >= begin; --row) {
    tags_n[row] = tag;
    tag = back_tk[(row - begin) * K + tag];
  }
  return highest;
}

std::tuple<at::Tensor, at::Tensor> crf_viterbi_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                   const at::Tensor& transitions,
                                                   const at::Tensor& start_transitions,
                                                   const at::Tensor& end_transitions) {
  check_scores(emissions, transitions, start_transitions, end_transitions);
  const int64_t B = offsets.numel() - 1;
  const int64_t K = emissions.size(1);
  at::Tensor tags = at::empty({emissions.size(0)}, emissions.options().dtype(at::kInt));  // [N]
  at::Tensor score = at::empty({B}, emissions.options());                                 // [B]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_viterbi", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    int32_t* tags_n = tags.mutable_data_ptr<int32_t>();
    std::vector<double> score_b(B);
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      std::vector<double> scratch_2k(2 * K);
      std::vector<int32_t> back_tk;
      for (int64_t b = first; b < last; ++b) score_b[b] = viterbi(scores, b, scratch_2k, back_tk, tags_n);
    });
    check_paths(score_b);
    std::copy(score_b.begin(), score_b.end(), score.mutable_data_ptr<scalar_t>());
  });
  return {tags, score};
}

/// log Z of every sentence; alphas_nk and betas_nk of every row.
template <typename scalar_t>
std::vector<double> forward_backward(const Scores<scalar_t>& scores, double* alphas_nk, double* betas_nk) {
  const int64_t K = scores.shape.K;
  std::vector<double> log_z(scores.shape.B);
  for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> scratch_2k(2 * K);
    for (int64_t b = first; b < last; ++b) {
      log_z[b] = forward(scores, b, alphas_nk);
      for_each_beta(scores, b, scratch_2k, [&](int64_t row, const double* row_k) {
        std::copy(row_k, row_k + K, betas_nk + row * K);
      });
    }
  });
  check_paths(log_z);
  return log_z;
}

std::tuple<at::Tensor, at::Tensor> crf_marginals_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                     const at::Tensor& transitions,
                                                     const at::Tensor& start_transitions,
                                                     const at::Tensor& end_transitions) {
  check_scores(emissions, transitions, start_transitions, end_transitions);
  const int64_t N = emissions.size(0);
  const int64_t K = emissions.size(1);
  at::Tensor marginals = at::empty({N, K}, emissions.options());                     // [N, K]
  at::Tensor log_partition = at::empty({offsets.numel() - 1}, emissions.options());  // [B]
  std::vector<double> alphas_nk(N * K);
  std::vector<double> betas_nk(N * K);
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_marginals", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const std::vector<double> log_z = forward_backward(scores, alphas_nk.data(), betas_nk.data());
    std::copy(log_z.begin(), log_z.end(), log_partition.mutable_data_ptr<scalar_t>());
    scalar_t* marginals_nk = marginals.mutable_data_ptr<scalar_t>();
    std::vector<double> row_k(K);
    for (int64_t row = 0; row < N; ++row) {
      row_marginals(K, alphas_nk.data() + row * K, betas_nk.data() + row * K, row_k.data());
      std::copy(row_k.begin(), row_k.end(), marginals_nk + row * K);
    }
  });
  return {marginals, log_partition};
}

/// What the probability of a span needs besides the scores.
struct SpanTables {
  const int32_t* tags_n;
  const int32_t* continuation_k;
  const double* alphas_nk;
  const double* betas_nk;
};

/// Probability of rows first..last-1 having their tags without being continued, as a product of probabilities
/// (invariant 2): P(y_first) prod_t P(y_t | y_t-1) P(not continued | y_last-1).
template <typename scalar_t>
double span_probability(const Scores<scalar_t>& scores, const SpanTables& tables, int64_t first, int64_t last,
                        int64_t sentence_end) {
  const int64_t K = scores.shape.K;
  const double* alphas = tables.alphas_nk + first * K;
  const double* betas = tables.betas_nk + first * K;
  const int32_t* tags = tables.tags_n;
  auto onward = [&](int64_t row, int64_t from, int64_t to) {
    return onward_score(K, scores.transitions_kk.data(), scores.emissions_of(row), tables.betas_nk + row * K,
                        from, to);
  };
  double log_probability = alphas[tags[first]] + betas[tags[first]] -
                           log_sum_exp(K, [&](int64_t j) { return alphas[j] + betas[j]; });
  for (int64_t row = first + 1; row < last; ++row) {
    if (log_probability == kNegativeInfinity) return 0;  // invariant 1: the next beta may be -inf too
    log_probability += onward(row, tags[row - 1], tags[row]) - tables.betas_nk[(row - 1) * K + tags[row - 1]];
  }
  const int32_t tag = tags[last - 1];
  const int32_t continuation = tables.continuation_k[tag];
  if (log_probability == kNegativeInfinity) return 0;
  if (last < sentence_end && continuation != -1) {
    const double leaving = log_sum_exp(
        K, [&](int64_t j) { return j == continuation ? kNegativeInfinity : onward(last, tag, j); });
    log_probability += leaving - tables.betas_nk[(last - 1) * K + tag];
  }
  return std::min(std::exp(log_probability), 1.0);
}

std::tuple<at::Tensor, at::Tensor> crf_span_posterior_cpu(
    const at::Tensor& emissions, const at::Tensor& path_tags, const at::Tensor& offsets,
    const at::Tensor& spans, const at::Tensor& continuation, const at::Tensor& transitions,
    const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  check_scores(emissions, transitions, start_transitions, end_transitions);
  at::Tensor posteriors = at::empty({spans.size(0)}, emissions.options());           // [S]
  at::Tensor log_partition = at::empty({offsets.numel() - 1}, emissions.options());  // [B]
  std::vector<double> alphas_nk(emissions.numel());
  std::vector<double> betas_nk(emissions.numel());
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_span_posterior", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const std::vector<double> log_z = forward_backward(scores, alphas_nk.data(), betas_nk.data());
    std::copy(log_z.begin(), log_z.end(), log_partition.mutable_data_ptr<scalar_t>());
    const SpanTables tables{path_tags.const_data_ptr<int32_t>(), continuation.const_data_ptr<int32_t>(),
                            alphas_nk.data(), betas_nk.data()};
    const int32_t* spans_s2 = spans.const_data_ptr<int32_t>();
    scalar_t* posteriors_s = posteriors.mutable_data_ptr<scalar_t>();
    for (int64_t s = 0; s < spans.size(0); ++s) {
      const int32_t first = spans_s2[2 * s];
      // The first offset past `first` ends the sentence that holds it.
      const int32_t sentence_end = *std::upper_bound(scores.offsets, scores.offsets + offsets.numel(), first);
      posteriors_s[s] =
          static_cast<scalar_t>(span_probability(scores, tables, first, spans_s2[2 * s + 1], sentence_end));
    }
  });
  return {posteriors, log_partition};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_crf_nll_forward", crf_nll_forward);
  m.impl("_crf_nll_backward", crf_nll_backward);
  m.impl("_crf_partial_nll_forward", crf_partial_nll_forward);
  m.impl("_crf_partial_nll_backward", crf_partial_nll_backward);
  m.impl("_crf_viterbi", crf_viterbi_cpu);
  m.impl("_crf_marginals", crf_marginals_cpu);
  m.impl("_crf_span_posterior", crf_span_posterior_cpu);
}

}  // namespace
}  // namespace albert_ner::ops
