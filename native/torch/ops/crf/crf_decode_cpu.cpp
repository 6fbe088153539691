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

#include "core/crf/crf_decode.h"
#include "torch/ops/crf/crf_tensors.h"

namespace albert_ner::ops {
namespace {

void viterbi_float32(const CrfTensors& problem, int32_t* tags_n, std::vector<double>& score_b) {
  const int64_t B = problem.shape().B;
  Buffer<bool> legal;
  legal.reserve(B);
  begin_float32(problem).viterbi(problem.moves<float>(), problem.emissions.const_data_ptr<float>(), tags_n,
                                 legal.data());
  const Scores<float> scores = problem.scores<float>();
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
      viterbi_in_log_space(problem.scores<scalar_t>(), tags_n, score_b);
    }
    check_paths(score_b);
    std::copy(score_b.begin(), score_b.end(), score.mutable_data_ptr<scalar_t>());
  });
  return {tags, score};
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
    const Scores<scalar_t> scores = problem.scores<scalar_t>();
    for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        if (!best_paths(scores, b, count, paths_n, scores_bn + b * count)) found[b] = kNegativeInfinity;
      }
    });
  });
  check_paths(found);
  return {paths, wide.to(emissions.scalar_type())};  // [n, N], [B, n]
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
  const Scores<double> scores = problem.scores<double>();
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
    const Scores<scalar_t> scores = problem.scores<scalar_t>();
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
