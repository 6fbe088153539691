// CPU kernels of the CRF, in log space and float64: the plain version that is right for every input.
// Arguments were validated by crf.cpp; only the values of emissions are checked here.
//
//   alpha[t, j] = log sum over tag paths of rows 0..t that end in j      alpha[0, j] = start[j] + e[0, j]
//   alpha[t, j] = log_sum_exp_i(alpha[t-1, i] + transitions[i, j]) + e[t, j]
//   beta[t, i]  = log_sum_exp_j(transitions[i, j] + e[t+1, j] + beta[t+1, j])      beta[T-1, i] = end[i]
//   log Z       = log_sum_exp_j(alpha[T-1, j] + end[j])

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "ops/crf/crf_math.h"
#include "ops/support/packed.h"

namespace albert_ner::ops {
namespace {

constexpr double kNegativeInfinity = -std::numeric_limits<double>::infinity();

/// Sentences per unit of parallel work. Fixed, so that sums over sentences are the same for any number of
/// threads.
constexpr int64_t kSentencesPerChunk = 8;

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
        end_k(widen(end_transitions)) {
    for (int64_t i = 0; i < shape.N * shape.K; ++i) {
      const scalar_t value = emissions_nk[i];
      if (std::isnan(value) || value == std::numeric_limits<scalar_t>::infinity()) {
        throw_invalid("emissions", "numbers below infinity",
                      std::to_string(value) + " in row " + std::to_string(i / shape.K));
      }
    }
  }

  double emission(int64_t row, int64_t tag) const {
    return static_cast<double>(emissions_nk[row * shape.K + tag]);
  }
  double transition(int64_t from, int64_t to) const { return transitions_kk[from * shape.K + to]; }

 private:
  static std::vector<double> widen(const at::Tensor& tensor) {
    const scalar_t* values = tensor.const_data_ptr<scalar_t>();
    return std::vector<double>(values, values + tensor.numel());
  }
};

[[noreturn]] void throw_no_path(int64_t sentence) {
  throw_invalid("transitions", "a legal path for every sentence",
                "none for sentence " + std::to_string(sentence));
}

/// alphas_nk of one sentence, rows begin..end-1; returns log Z (0 for an empty sentence).
template <typename scalar_t>
double forward(const Scores<scalar_t>& scores, int64_t sentence, double* alphas_nk) {
  const int64_t K = scores.shape.K;
  const int64_t begin = scores.offsets[sentence];
  const int64_t end = scores.offsets[sentence + 1];
  if (begin == end) return 0;
  for (int64_t j = 0; j < K; ++j) alphas_nk[begin * K + j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row) {
    const double* previous = alphas_nk + (row - 1) * K;
    for (int64_t j = 0; j < K; ++j) {
      const double arriving =
          log_sum_exp(K, [&](int64_t i) { return previous[i] + scores.transition(i, j); });
      alphas_nk[row * K + j] = arriving + scores.emission(row, j);
    }
  }
  const double* last = alphas_nk + (end - 1) * K;
  const double log_partition = log_sum_exp(K, [&](int64_t j) { return last[j] + scores.end_k[j]; });
  if (log_partition == kNegativeInfinity) throw_no_path(sentence);
  return log_partition;
}

/// betas of the row before `row`, given the betas of `row`.
template <typename scalar_t>
void backward_step(const Scores<scalar_t>& scores, int64_t row, const double* betas_k, double* previous_k) {
  const int64_t K = scores.shape.K;
  for (int64_t i = 0; i < K; ++i) {
    previous_k[i] = log_sum_exp(
        K, [&](int64_t j) { return scores.transition(i, j) + scores.emission(row, j) + betas_k[j]; });
  }
}

/// Calls visit(row, betas_k) for the rows of a sentence from last to first.
template <typename scalar_t, typename Visit>
void for_each_beta(const Scores<scalar_t>& scores, int64_t sentence, std::vector<double>& scratch_2k,
                   Visit visit) {
  const int64_t K = scores.shape.K;
  const int64_t begin = scores.offsets[sentence];
  const int64_t end = scores.offsets[sentence + 1];
  if (begin == end) return;
  double* betas = scratch_2k.data();
  double* previous = betas + K;
  std::copy(scores.end_k.begin(), scores.end_k.end(), betas);
  for (int64_t row = end - 1; row > begin; --row) {
    visit(row, betas);
    backward_step(scores, row, betas, previous);
    std::swap(betas, previous);
  }
  visit(begin, betas);
}

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
  const int64_t begin = scores.offsets[sentence];
  const int64_t end = scores.offsets[sentence + 1];
  if (begin == end) return 0;
  double score = scores.start_k[tags_n[begin]] + scores.emission(begin, tags_n[begin]);
  for (int64_t row = begin + 1; row < end; ++row) {
    score += scores.transition(tags_n[row - 1], tags_n[row]) + scores.emission(row, tags_n[row]);
  }
  return score + scores.end_k[tags_n[end - 1]];
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> crf_nll_forward(
    const at::Tensor& emissions, const at::Tensor& tags, const at::Tensor& offsets,
    const at::Tensor& transitions, const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const int64_t B = offsets.numel() - 1;
  at::Tensor nll = at::empty({B}, emissions.options());                                      // [B]
  at::Tensor alphas = at::empty(emissions.sizes(), emissions.options().dtype(at::kDouble));  // [N, K]
  at::Tensor log_partition = at::empty({B}, alphas.options());                               // [B]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_forward", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    scalar_t* nll_b = nll.mutable_data_ptr<scalar_t>();
    double* alphas_nk = alphas.mutable_data_ptr<double>();
    double* log_partition_b = log_partition.mutable_data_ptr<double>();
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        log_partition_b[b] = forward(scores, b, alphas_nk);
        // Rounding may put the path's score an ulp above log Z; a likelihood above 1 doesn't exist.
        nll_b[b] = static_cast<scalar_t>(std::fmax(log_partition_b[b] - path_score(scores, b, tags_n), 0.0));
      }
    });
  });
  return {nll, alphas, log_partition};
}

/// Sums over the sentences of one chunk.
struct TransitionGradients {
  std::vector<double> transitions_kk;
  std::vector<double> start_k;
  std::vector<double> end_k;
};

/// Adds weight * (expected - actual) counts of one sentence.
///   d nll / d e[t, j] = P(y_t = j) - [y_t = j]      d nll / d transitions[i, j] = sum_t P(y_t-1 = i, y_t =
///   j) - counts
template <typename scalar_t>
void accumulate_gradients(const Scores<scalar_t>& scores, int64_t sentence, double weight,
                          double log_partition, const int32_t* tags_n, const double* alphas_nk,
                          std::vector<double>& scratch_2k, scalar_t* d_emissions_nk,
                          TransitionGradients& sums) {
  const int64_t K = scores.shape.K;
  const int64_t begin = scores.offsets[sentence];
  const int64_t end = scores.offsets[sentence + 1];
  for_each_beta(scores, sentence, scratch_2k, [&](int64_t row, const double* betas) {
    const double* alphas = alphas_nk + row * K;
    for (int64_t j = 0; j < K; ++j) {
      const double marginal = std::exp(alphas[j] + betas[j] - log_partition);
      const double actual = tags_n[row] == j ? 1.0 : 0.0;
      const double difference = weight * (marginal - actual);
      d_emissions_nk[row * K + j] = static_cast<scalar_t>(difference);
      if (row == begin) sums.start_k[j] += difference;
      if (row == end - 1) sums.end_k[j] += difference;
      if (row == begin || marginal == 0) continue;
      const double leaving = scores.emission(row, j) + betas[j] - log_partition;
      const double* previous = alphas - K;
      for (int64_t i = 0; i < K; ++i) {
        sums.transitions_kk[i * K + j] += weight * std::exp(previous[i] + scores.transition(i, j) + leaving);
      }
    }
    if (row > begin) sums.transitions_kk[tags_n[row - 1] * K + tags_n[row]] -= weight;
  });
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> crf_nll_backward(
    const at::Tensor& grad_nll, const at::Tensor& emissions, const at::Tensor& tags,
    const at::Tensor& offsets, const at::Tensor& transitions, const at::Tensor& start_transitions,
    const at::Tensor& end_transitions, const at::Tensor& alphas, const at::Tensor& log_partition) {
  const int64_t B = offsets.numel() - 1;
  const int64_t K = emissions.size(1);
  at::Tensor d_emissions = at::empty(emissions.sizes(), emissions.options());  // [N, K]
  at::Tensor d_transitions = at::zeros({K, K}, emissions.options());           // [K, K]
  at::Tensor d_start = at::zeros({K}, emissions.options());                    // [K]
  at::Tensor d_end = at::zeros({K}, emissions.options());                      // [K]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_backward", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    const scalar_t* grad_b = grad_nll.const_data_ptr<scalar_t>();
    const double* alphas_nk = alphas.const_data_ptr<double>();
    const double* log_partition_b = log_partition.const_data_ptr<double>();
    scalar_t* d_emissions_nk = d_emissions.mutable_data_ptr<scalar_t>();
    const int64_t chunk_count = (B + kSentencesPerChunk - 1) / kSentencesPerChunk;
    std::vector<TransitionGradients> sums(chunk_count);
    for_each_chunk(B, [&](int64_t chunk, int64_t first, int64_t last) {
      sums[chunk] = {std::vector<double>(K * K), std::vector<double>(K), std::vector<double>(K)};
      std::vector<double> scratch_2k(2 * K);
      for (int64_t b = first; b < last; ++b) {
        accumulate_gradients(scores, b, static_cast<double>(grad_b[b]), log_partition_b[b], tags_n, alphas_nk,
                             scratch_2k, d_emissions_nk, sums[chunk]);
      }
    });
    // In float64 over the chunks, in order, then one rounding.
    auto reduce = [&](at::Tensor& out, auto member) {
      std::vector<double> total(out.numel());
      for (const TransitionGradients& part : sums) {
        for (int64_t k = 0; k < out.numel(); ++k) total[k] += (part.*member)[k];
      }
      std::copy(total.begin(), total.end(), out.mutable_data_ptr<scalar_t>());
    };
    reduce(d_transitions, &TransitionGradients::transitions_kk);
    reduce(d_start, &TransitionGradients::start_k);
    reduce(d_end, &TransitionGradients::end_k);
  });
  return {d_emissions, d_transitions, d_start, d_end};
}

/// Best path of one sentence into tags_n; returns its score.
template <typename scalar_t>
double viterbi(const Scores<scalar_t>& scores, int64_t sentence, std::vector<double>& scratch_2k,
               std::vector<int32_t>& back_tk, int32_t* tags_n) {
  const int64_t K = scores.shape.K;
  const int64_t begin = scores.offsets[sentence];
  const int64_t end = scores.offsets[sentence + 1];
  if (begin == end) return 0;
  back_tk.resize((end - begin) * K);
  double* best = scratch_2k.data();
  double* next = best + K;
  for (int64_t j = 0; j < K; ++j) best[j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row) {
    for (int64_t j = 0; j < K; ++j) {
      double highest = kNegativeInfinity;
      int32_t from = 0;
      for (int64_t i = 0; i < K; ++i) {
        const double score = best[i] + scores.transition(i, j);
        if (score > highest) {
          highest = score;
          from = static_cast<int32_t>(i);
        }
      }
      next[j] = highest + scores.emission(row, j);
      back_tk[(row - begin) * K + j] = from;
    }
    std::swap(best, next);
  }
  double highest = kNegativeInfinity;
  int32_t tag = 0;
  for (int64_t j = 0; j < K; ++j) {
    const double score = best[j] + scores.end_k[j];
    if (score > highest) {
      highest = score;
      tag = static_cast<int32_t>(j);
    }
  }
  if (highest == kNegativeInfinity) throw_no_path(sentence);
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
  const int64_t B = offsets.numel() - 1;
  const int64_t K = emissions.size(1);
  at::Tensor tags = at::empty({emissions.size(0)}, emissions.options().dtype(at::kInt));  // [N]
  at::Tensor score = at::empty({B}, emissions.options());                                 // [B]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_viterbi", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    int32_t* tags_n = tags.mutable_data_ptr<int32_t>();
    scalar_t* score_b = score.mutable_data_ptr<scalar_t>();
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      std::vector<double> scratch_2k(2 * K);
      std::vector<int32_t> back_tk;
      for (int64_t b = first; b < last; ++b) {
        score_b[b] = static_cast<scalar_t>(viterbi(scores, b, scratch_2k, back_tk, tags_n));
      }
    });
  });
  return {tags, score};
}

std::tuple<at::Tensor, at::Tensor> crf_marginals_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                     const at::Tensor& transitions,
                                                     const at::Tensor& start_transitions,
                                                     const at::Tensor& end_transitions) {
  const int64_t B = offsets.numel() - 1;
  const int64_t K = emissions.size(1);
  at::Tensor marginals = at::empty(emissions.sizes(), emissions.options());                  // [N, K]
  at::Tensor log_partition = at::empty({B}, emissions.options());                            // [B]
  at::Tensor alphas = at::empty(emissions.sizes(), emissions.options().dtype(at::kDouble));  // [N, K]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_marginals", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    scalar_t* marginals_nk = marginals.mutable_data_ptr<scalar_t>();
    scalar_t* log_partition_b = log_partition.mutable_data_ptr<scalar_t>();
    double* alphas_nk = alphas.mutable_data_ptr<double>();
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      std::vector<double> scratch_2k(2 * K);
      for (int64_t b = first; b < last; ++b) {
        const double log_z = forward(scores, b, alphas_nk);
        log_partition_b[b] = static_cast<scalar_t>(log_z);
        for_each_beta(scores, b, scratch_2k, [&](int64_t row, const double* betas) {
          for (int64_t j = 0; j < K; ++j) {
            marginals_nk[row * K + j] =
                static_cast<scalar_t>(std::exp(alphas_nk[row * K + j] + betas[j] - log_z));
          }
        });
      }
    });
  });
  return {marginals, log_partition};
}

/// log probability of one span: what arrives, the path inside, what may leave.
template <typename scalar_t>
double span_log_probability(const Scores<scalar_t>& scores, const int32_t* tags_n, int64_t first,
                            int64_t last, int64_t sentence_end, const int32_t* continuation_k,
                            const double* alphas_nk, const double* betas_nk) {
  const int64_t K = scores.shape.K;
  double inside = alphas_nk[first * K + tags_n[first]];
  for (int64_t row = first + 1; row < last; ++row) {
    inside += scores.transition(tags_n[row - 1], tags_n[row]) + scores.emission(row, tags_n[row]);
  }
  const int32_t tag = tags_n[last - 1];
  if (last == sentence_end) return inside + scores.end_k[tag];
  return inside + log_sum_exp(K, [&](int64_t j) {
           if (j == continuation_k[tag]) return kNegativeInfinity;
           return scores.transition(tag, j) + scores.emission(last, j) + betas_nk[last * K + j];
         });
}

std::tuple<at::Tensor, at::Tensor> crf_span_posterior_cpu(
    const at::Tensor& emissions, const at::Tensor& path_tags, const at::Tensor& offsets,
    const at::Tensor& spans, const at::Tensor& continuation, const at::Tensor& transitions,
    const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const int64_t B = offsets.numel() - 1;
  const int64_t K = emissions.size(1);
  at::Tensor posteriors = at::empty({spans.size(0)}, emissions.options());                   // [S]
  at::Tensor log_partition = at::empty({B}, emissions.options());                            // [B]
  at::Tensor alphas = at::empty(emissions.sizes(), emissions.options().dtype(at::kDouble));  // [N, K]
  at::Tensor betas = at::empty(emissions.sizes(), alphas.options());                         // [N, K]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_span_posterior", [&] {
    const Scores<scalar_t> scores(emissions, offsets, transitions, start_transitions, end_transitions);
    double* alphas_nk = alphas.mutable_data_ptr<double>();
    double* betas_nk = betas.mutable_data_ptr<double>();
    std::vector<double> log_z(B);
    for_each_chunk(B, [&](int64_t, int64_t first, int64_t last) {
      std::vector<double> scratch_2k(2 * K);
      for (int64_t b = first; b < last; ++b) {
        log_z[b] = forward(scores, b, alphas_nk);
        for_each_beta(scores, b, scratch_2k, [&](int64_t row, const double* row_k) {
          std::copy(row_k, row_k + K, betas_nk + row * K);
        });
      }
    });
    std::copy(log_z.begin(), log_z.end(), log_partition.mutable_data_ptr<scalar_t>());
    const int32_t* spans_s2 = spans.const_data_ptr<int32_t>();
    const int32_t* offsets_end = scores.offsets + B + 1;
    for (int64_t s = 0; s < spans.size(0); ++s) {
      const int32_t first = spans_s2[2 * s];
      const int32_t* sentence_end = std::upper_bound(scores.offsets, offsets_end, first);
      const double log_probability =
          span_log_probability(scores, path_tags.const_data_ptr<int32_t>(), first, spans_s2[2 * s + 1],
                               *sentence_end, continuation.const_data_ptr<int32_t>(), alphas_nk, betas_nk);
      const double probability = std::exp(log_probability - log_z[sentence_end - scores.offsets - 1]);
      posteriors.mutable_data_ptr<scalar_t>()[s] = static_cast<scalar_t>(std::fmin(probability, 1.0));
    }
  });
  return {posteriors, log_partition};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_crf_nll_forward", crf_nll_forward);
  m.impl("_crf_nll_backward", crf_nll_backward);
  m.impl("_crf_viterbi", crf_viterbi_cpu);
  m.impl("_crf_marginals", crf_marginals_cpu);
  m.impl("_crf_span_posterior", crf_span_posterior_cpu);
}

}  // namespace
}  // namespace albert_ner::ops
