// CPU kernels that decode and report probabilities. Best paths and marginals of float32 run through
// crf_float32.h, everything else in log space.

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ops/crf/crf_float32.h"
#include "ops/crf/crf_log_space.h"
#include "ops/crf/crf_scores.h"

namespace albert_ner::ops {
namespace {

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
      const HighestTerm arriving =
          highest_term(K, [&](int64_t i) { return best[i] + scores.transition(i, j); });
      next[j] = arriving.score + scores.emission(row, j);
      back_tk[(row - begin) * K + j] = arriving.index;
    }
    std::swap(best, next);
  }
  auto [highest, tag] = highest_term(K, [&](int64_t j) { return best[j] + scores.end_k[j]; });
  if (highest == kNegativeInfinity) return highest;
  // A tag with a score above -inf was reached from one with a score above -inf: the path is legal throughout.
  for (int64_t row = end - 1; row >= begin; --row) {
    tags_n[row] = tag;
    tag = back_tk[(row - begin) * K + tag];
  }
  return highest;
}

/// Best paths of every sentence; their scores, -inf where there is none.
template <typename scalar_t>
void viterbi_in_log_space(const Scores<scalar_t>& scores, int32_t* tags_n, std::vector<double>& score_b) {
  for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> scratch_2k(2 * scores.shape.K);
    std::vector<int32_t> back_tk;
    for (int64_t b = first; b < last; ++b) score_b[b] = viterbi(scores, b, scratch_2k, back_tk, tags_n);
  });
}

void viterbi_float32(const CrfTensors& problem, int32_t* tags_n, std::vector<double>& score_b) {
  const int64_t B = problem.shape().B;
  Buffer<bool> legal;
  legal.reserve(B);
  begin_float32(problem).viterbi(problem.moves<float>(), problem.emissions.const_data_ptr<float>(), tags_n,
                                 legal.data());
  const Scores<float> scores(problem);
  for (int64_t b = 0; b < B; ++b) {
    score_b[b] = legal.data()[b] ? path_score(scores, b, tags_n) : kNegativeInfinity;
  }
}

std::tuple<at::Tensor, at::Tensor> crf_viterbi_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                   const at::Tensor& transitions,
                                                   const at::Tensor& start_transitions,
                                                   const at::Tensor& end_transitions) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  const CrfScoreFacts facts = check_scores(problem);
  const int64_t B = problem.shape().B;
  at::Tensor tags = at::empty({emissions.size(0)}, emissions.options().dtype(at::kInt));  // [N]
  at::Tensor score = at::empty({B}, emissions.options());                                 // [B]
  int32_t* tags_n = tags.mutable_data_ptr<int32_t>();
  std::vector<double> score_b(B);
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_viterbi", [&] {
    if (emissions.scalar_type() == at::kFloat && facts.largest_magnitude <= kLargestViterbiScore) {
      viterbi_float32(problem, tags_n, score_b);
    } else {
      viterbi_in_log_space(Scores<scalar_t>(problem), tags_n, score_b);
    }
    check_paths(score_b);
    std::copy(score_b.begin(), score_b.end(), score.mutable_data_ptr<scalar_t>());
  });
  return {tags, score};
}

/// A way to a tag: its score, the tag before and which of that tag's ways it goes on from.
struct Way {
  double score;
  int32_t from;
  int32_t rank;
};

/// Best first; of equal ones the lower tag before, then that tag's better way.
bool is_better(const Way& a, const Way& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.from != b.from ? a.from < b.from : a.rank < b.rank;
}

/// Keeps the best `count` of the ways above -inf.
void keep_best(std::vector<Way>& ways, int64_t count) {
  const auto legal =
      std::remove_if(ways.begin(), ways.end(), [](const Way& way) { return way.score == kNegativeInfinity; });
  ways.erase(legal, ways.end());
  const int64_t kept = std::min<int64_t>(count, static_cast<int64_t>(ways.size()));
  std::partial_sort(ways.begin(), ways.begin() + kept, ways.end(), is_better);
  ways.resize(kept);
}

/// The best `count` paths of one sentence into paths[rank * N + row] with their scores; ranks that no path
/// has stay as they are. Returns whether there is any. Source: Seshadri and Sundberg 1994, the parallel
/// algorithm.
template <typename scalar_t>
bool best_paths(const Scores<scalar_t>& scores, int64_t sentence, int64_t count, int32_t* paths,
                double* path_scores) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) {
    path_scores[0] = 0;
    return true;
  }
  std::vector<std::vector<Way>> ways((end - begin) * K);  // [T, K], best first
  for (int64_t j = 0; j < K; ++j) {
    ways[j].push_back({scores.start_k[j] + scores.emission(begin, j), 0, 0});
    keep_best(ways[j], count);
  }
  for (int64_t t = 1; t < end - begin; ++t) {
    for (int64_t j = 0; j < K; ++j) {
      std::vector<Way>& here = ways[t * K + j];
      for (int32_t i = 0; i < K; ++i) {
        const std::vector<Way>& before = ways[(t - 1) * K + i];
        for (size_t rank = 0; rank < before.size(); ++rank) {
          here.push_back({before[rank].score + scores.transition(i, j), i, static_cast<int32_t>(rank)});
        }
      }
      keep_best(here, count);
      for (Way& way : here) way.score += scores.emission(begin + t, j);
    }
  }
  std::vector<Way> last;
  for (int32_t j = 0; j < K; ++j) {
    const std::vector<Way>& before = ways[(end - begin - 1) * K + j];
    for (size_t rank = 0; rank < before.size(); ++rank) {
      last.push_back({before[rank].score + scores.end_k[j], j, static_cast<int32_t>(rank)});
    }
  }
  keep_best(last, count);
  for (size_t place = 0; place < last.size(); ++place) {
    path_scores[place] = last[place].score;
    Way way = last[place];
    for (int64_t row = end - 1; row >= begin; --row) {
      paths[static_cast<int64_t>(place) * scores.shape.N + row] = way.from;
      way = ways[(row - begin) * K + way.from][way.rank];
    }
  }
  return !last.empty();
}

std::tuple<at::Tensor, at::Tensor> crf_nbest_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                 const at::Tensor& transitions,
                                                 const at::Tensor& start_transitions,
                                                 const at::Tensor& end_transitions, int64_t count) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  check_scores(problem);
  const auto [B, N, K] = problem.shape();
  at::Tensor paths = at::full({count, N}, -1, emissions.options().dtype(at::kInt));  // [n, N]
  at::Tensor wide = at::full({B, count}, kNegativeInfinity, emissions.options().dtype(at::kDouble));
  int32_t* paths_n = paths.mutable_data_ptr<int32_t>();
  double* scores_bn = wide.mutable_data_ptr<double>();
  std::vector<double> found(B, 0.0);
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nbest", [&] {
    const Scores<scalar_t> scores(problem);
    for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        if (!best_paths(scores, b, count, paths_n, scores_bn + b * count)) found[b] = kNegativeInfinity;
      }
    });
  });
  check_paths(found);
  return {paths, wide.to(emissions.scalar_type())};  // [n, N], [B, n]
}

/// log Z of every sentence; alphas_nk and betas_nk of every row.
template <typename scalar_t>
std::vector<double> forward_backward(const Scores<scalar_t>& scores, double* alphas_nk, double* betas_nk) {
  const int64_t K = scores.shape.K;
  std::vector<double> log_z(scores.shape.B);
  for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> scratch_2k(2 * K);
    for (int64_t b = first; b < last; ++b) {
      log_z[b] = forward(scores, b, alphas_nk + scores.rows(b).begin * K);
      for_each_beta(scores, b, scratch_2k, [&](int64_t row, const double* row_k) {
        std::copy(row_k, row_k + K, betas_nk + row * K);
      });
    }
  });
  check_paths(log_z);
  return log_z;
}

/// float32 in exp space: the gradient of log Z in the emissions.
std::vector<double> marginals_float32(const CrfTensors& problem, bool emissions_forbid,
                                      at::Tensor& marginals) {
  const int64_t B = problem.shape().B;
  const float* emissions_nk = problem.emissions.const_data_ptr<float>();
  CrfFloat32& crf = begin_float32(problem);
  crf.set_moves(problem.moves<float>());
  Buffer<float> saved;
  saved.reserve(crf.saved_floats());
  std::vector<double> log_z_b(B);
  crf.forward(emissions_nk, emissions_forbid, saved.data(), log_z_b.data());
  check_paths(log_z_b);
  const std::vector<float> ones(B, 1.0f);
  crf.backward(emissions_nk, saved.data(), ones.data(), marginals.zero_().mutable_data_ptr<float>(), nullptr);
  return log_z_b;
}

std::vector<double> marginals_float64(const CrfTensors& problem, at::Tensor& marginals) {
  const auto [B, N, K] = problem.shape();
  std::vector<double> alphas_nk(N * K);
  std::vector<double> betas_nk(N * K);
  const Scores<double> scores(problem);
  std::vector<double> log_z_b = forward_backward(scores, alphas_nk.data(), betas_nk.data());
  double* marginals_nk = marginals.mutable_data_ptr<double>();
  for (int64_t k = 0; k < N * K; k += K) {
    row_marginals(K, alphas_nk.data() + k, betas_nk.data() + k, marginals_nk + k);
  }
  return log_z_b;
}

std::tuple<at::Tensor, at::Tensor> crf_marginals_cpu(const at::Tensor& emissions, const at::Tensor& offsets,
                                                     const at::Tensor& transitions,
                                                     const at::Tensor& start_transitions,
                                                     const at::Tensor& end_transitions) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  const CrfScoreFacts facts = check_scores(problem);
  at::Tensor marginals = at::empty(emissions.sizes(), emissions.options());        // [N, K]
  at::Tensor log_partition = at::empty({problem.shape().B}, emissions.options());  // [B]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_marginals", [&] {
    const std::vector<double> log_z_b = emissions.scalar_type() == at::kFloat
                                            ? marginals_float32(problem, facts.emissions_forbid, marginals)
                                            : marginals_float64(problem, marginals);
    std::copy(log_z_b.begin(), log_z_b.end(), log_partition.mutable_data_ptr<scalar_t>());
  });
  return {marginals, log_partition};
}

std::tuple<at::Tensor, at::Tensor> crf_span_posterior_cpu(
    const at::Tensor& emissions, const at::Tensor& path_tags, const at::Tensor& offsets,
    const at::Tensor& spans, const at::Tensor& continuation, const at::Tensor& transitions,
    const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  check_scores(problem);
  at::Tensor posteriors = at::empty({spans.size(0)}, emissions.options());           // [S]
  at::Tensor log_partition = at::empty({offsets.numel() - 1}, emissions.options());  // [B]
  std::vector<double> alphas_nk(emissions.numel());
  std::vector<double> betas_nk(emissions.numel());
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_span_posterior", [&] {
    const Scores<scalar_t> scores(problem);
    const std::vector<double> log_z = forward_backward(scores, alphas_nk.data(), betas_nk.data());
    std::copy(log_z.begin(), log_z.end(), log_partition.mutable_data_ptr<scalar_t>());
    const CrfSpanTables<scalar_t> tables{scores.shape.K,
                                         scores.transitions_kk.data(),
                                         scores.emissions_nk,
                                         path_tags.const_data_ptr<int32_t>(),
                                         continuation.const_data_ptr<int32_t>(),
                                         alphas_nk.data(),
                                         betas_nk.data()};
    const int32_t* spans_s2 = spans.const_data_ptr<int32_t>();
    scalar_t* posteriors_s = posteriors.mutable_data_ptr<scalar_t>();
    for (int64_t s = 0; s < spans.size(0); ++s) {
      const int32_t first = spans_s2[2 * s];
      // The first offset past `first` ends the sentence that holds it.
      const int32_t sentence_end = *std::upper_bound(scores.offsets, scores.offsets + offsets.numel(), first);
      posteriors_s[s] =
          static_cast<scalar_t>(crf_span_probability(tables, first, spans_s2[2 * s + 1], sentence_end));
    }
  });
  return {posteriors, log_partition};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_crf_viterbi", crf_viterbi_cpu);
  m.impl("_crf_nbest", crf_nbest_cpu);
  m.impl("_crf_marginals", crf_marginals_cpu);
  m.impl("_crf_span_posterior", crf_span_posterior_cpu);
}

}  // namespace
}  // namespace albert_ner::ops
