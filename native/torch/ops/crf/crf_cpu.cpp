// CPU kernels of the two losses. float32 runs through crf_float32.h, float64 in log space; both hand the
// backward pass what the forward pass found, in a tensor of their own making.
//
// Sentences are independent; sums over them run in a fixed order, so results don't depend on the number of
// threads.

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "torch/ops/crf/crf_tensors.h"

namespace albert_ner::ops {
namespace {

bool is_float(const CrfTensors& problem) {
  return problem.emissions.scalar_type() == at::kFloat;
}

/// log Z of every sentence. Returns what the gradient needs: float32 the memory of CrfFloat32, float64 alphas
/// [N, K].
at::Tensor log_partitions(const CrfTensors& problem, bool emissions_forbid, std::vector<double>& log_z_b) {
  const CrfShape shape = problem.shape();
  log_z_b.resize(shape.B);
  if (is_float(problem)) {
    CrfFloat32& crf = begin_float32(problem);
    crf.set_moves(problem.moves<float>());
    at::Tensor saved = at::empty({crf.saved_floats()}, problem.emissions.options());
    crf.forward(problem.emissions.const_data_ptr<float>(), emissions_forbid, saved.mutable_data_ptr<float>(),
                log_z_b.data());
    return saved;
  }
  at::Tensor alphas = at::empty(problem.emissions.sizes(), problem.emissions.options());  // [N, K]
  double* alphas_nk = alphas.mutable_data_ptr<double>();
  const Scores<double> scores = problem.scores<double>();
  for_each_chunk(shape.B, [&](int64_t, int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      log_z_b[b] = forward(scores, b, alphas_nk + scores.rows(b).begin * shape.K);
    }
  });
  return alphas;
}

/// Adds weight_b * d log Z_b.
void add_expected_counts(const CrfTensors& problem, const at::Tensor& saved, const at::Tensor& weight_b,
                         at::Tensor& d_emissions, CrfMoveSums& sums) {
  if (is_float(problem)) {
    CrfFloat32& crf = begin_float32(problem);
    crf.set_moves(problem.moves<float>());
    crf.backward(problem.emissions.const_data_ptr<float>(), saved.const_data_ptr<float>(),
                 weight_b.const_data_ptr<float>(), d_emissions.mutable_data_ptr<float>(), &sums);
    return;
  }
  const CrfShape shape = problem.shape();
  const Scores<double> scores = problem.scores<double>();
  const double* alphas_nk = saved.const_data_ptr<double>();
  const double* weights = weight_b.const_data_ptr<double>();
  double* d_emissions_nk = d_emissions.mutable_data_ptr<double>();
  std::vector<SentenceSums> chunks((shape.B + kSentencesPerChunk - 1) / kSentencesPerChunk,
                                   SentenceSums(shape.K));
  for_each_chunk(shape.B, [&](int64_t chunk, int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      add_expected(scores, b, weights[b], alphas_nk + scores.rows(b).begin * shape.K, d_emissions_nk,
                   chunks[chunk]);
    }
  });
  for (const SentenceSums& chunk : chunks) sums.add(chunk);
}

at::Tensor narrowed(const std::vector<double>& sums, at::IntArrayRef shape,
                    const at::TensorOptions& options) {
  at::Tensor tensor = at::empty(shape, options);
  AT_DISPATCH_FLOATING_TYPES(tensor.scalar_type(), "crf_sums", [&] {
    scalar_t* out = tensor.mutable_data_ptr<scalar_t>();
    for (size_t k = 0; k < sums.size(); ++k) out[k] = static_cast<scalar_t>(sums[k]);
  });
  return tensor;
}

using CrfGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

CrfGradients as_tensors(const at::Tensor& d_emissions, const CrfMoveSums& sums) {
  const int64_t K = d_emissions.size(1);
  const at::TensorOptions options = d_emissions.options();
  return {d_emissions, narrowed(sums.transitions_kk, {K, K}, options), narrowed(sums.start_k, {K}, options),
          narrowed(sums.end_k, {K}, options)};
}

std::tuple<at::Tensor, at::Tensor> crf_nll_forward(const at::Tensor& emissions, const at::Tensor& tags,
                                                   const at::Tensor& offsets, const at::Tensor& transitions,
                                                   const at::Tensor& start_transitions,
                                                   const at::Tensor& end_transitions) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  const CrfScoreFacts facts = check_scores(problem);
  std::vector<double> log_z_b;
  const at::Tensor saved = log_partitions(problem, facts.emissions_forbid, log_z_b);
  check_paths(log_z_b);
  const int64_t B = problem.shape().B;
  at::Tensor nll = at::empty({B}, emissions.options());  // [B]
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_forward", [&] {
    const Scores<scalar_t> scores = problem.scores<scalar_t>();
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    scalar_t* nll_b = nll.mutable_data_ptr<scalar_t>();
    for (int64_t b = 0; b < B; ++b) {
      // Rounding may put the path's score an ulp above log Z; a likelihood above 1 doesn't exist.
      nll_b[b] = static_cast<scalar_t>(std::max(log_z_b[b] - path_score(scores, b, tags_n), 0.0));
    }
  });
  return {nll, saved};
}

CrfGradients crf_nll_backward(const at::Tensor& grad_nll, const at::Tensor& emissions, const at::Tensor& tags,
                              const at::Tensor& offsets, const at::Tensor& transitions,
                              const at::Tensor& start_transitions, const at::Tensor& end_transitions,
                              const at::Tensor& saved) {
  const CrfTensors problem{emissions, offsets, transitions, start_transitions, end_transitions};
  at::Tensor d_emissions = at::zeros(emissions.sizes(), emissions.options());  // [N, K]
  CrfMoveSums sums(emissions.size(1));
  add_expected_counts(problem, saved, grad_nll, d_emissions, sums);
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_backward", [&] {
    const Scores<scalar_t> scores = problem.scores<scalar_t>();
    const int32_t* tags_n = tags.const_data_ptr<int32_t>();
    const scalar_t* grad_b = grad_nll.const_data_ptr<scalar_t>();
    scalar_t* d_emissions_nk = d_emissions.mutable_data_ptr<scalar_t>();
    for (int64_t b = 0; b < scores.shape.B; ++b) {
      add_observed(scores, b, -static_cast<double>(grad_b[b]), tags_n, d_emissions_nk, sums);
    }
  });
  return as_tensors(d_emissions, sums);
}

/// Emissions with -inf wherever a tag isn't allowed.
at::Tensor only_allowed(const at::Tensor& emissions, const at::Tensor& allowed) {
  return emissions.masked_fill(allowed.logical_not(), kNegativeInfinity);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> crf_partial_nll_forward(
    const at::Tensor& emissions, const at::Tensor& allowed, const at::Tensor& offsets,
    const at::Tensor& transitions, const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const CrfTensors free{emissions, offsets, transitions, start_transitions, end_transitions};
  const CrfScoreFacts facts = check_scores(free);
  const at::Tensor constrained = only_allowed(emissions, allowed);
  const CrfTensors fixed{constrained, offsets, transitions, start_transitions, end_transitions};
  std::vector<double> free_b;
  std::vector<double> fixed_b;
  const at::Tensor saved = log_partitions(free, facts.emissions_forbid, free_b);
  const at::Tensor constrained_saved = log_partitions(fixed, true, fixed_b);
  check_paths(fixed_b);
  // As in crf_nll: rounding must not make a likelihood above 1.
  for (size_t b = 0; b < free_b.size(); ++b) free_b[b] = std::max(free_b[b] - fixed_b[b], 0.0);
  return {narrowed(free_b, {free.shape().B}, emissions.options()), saved, constrained_saved};
}

CrfGradients crf_partial_nll_backward(const at::Tensor& grad_nll, const at::Tensor& emissions,
                                      const at::Tensor& allowed, const at::Tensor& offsets,
                                      const at::Tensor& transitions, const at::Tensor& start_transitions,
                                      const at::Tensor& end_transitions, const at::Tensor& saved,
                                      const at::Tensor& constrained_saved) {
  const CrfTensors free{emissions, offsets, transitions, start_transitions, end_transitions};
  const at::Tensor constrained = only_allowed(emissions, allowed);
  const CrfTensors fixed{constrained, offsets, transitions, start_transitions, end_transitions};
  at::Tensor d_emissions = at::zeros(emissions.sizes(), emissions.options());  // [N, K]
  CrfMoveSums sums(emissions.size(1));
  add_expected_counts(free, saved, grad_nll, d_emissions, sums);
  add_expected_counts(fixed, constrained_saved, grad_nll.neg(), d_emissions, sums);
  return as_tensors(d_emissions, sums);
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_crf_nll_forward", crf_nll_forward);
  m.impl("_crf_nll_backward", crf_nll_backward);
  m.impl("_crf_partial_nll_forward", crf_partial_nll_forward);
  m.impl("_crf_partial_nll_backward", crf_partial_nll_backward);
}

}  // namespace
}  // namespace albert_ner::ops
