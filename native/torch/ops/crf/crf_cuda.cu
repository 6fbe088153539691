// CUDA implementation of the CRF, in log space and float64 like the plain ones of the CPU; the step is that
// of crf_math.h. A team of threads takes a sentence: one warp for up to 64 tags, with the transitions in
// shared memory, a block of threads beyond. alpha goes forwards and beta backwards in the same loop, then the
// team turns them into marginals and expected counts: loss and gradient are one launch, and the backward
// operators only weigh and add. Nothing here waits for the device, and no sum depends on the order of
// threads.
//
// Values are not checked on the device. A NaN, a +inf or a sentence without a legal path makes the results of
// that sentence NaN; indices out of range stop the kernel.

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <tuple>

#include "torch/ops/crf/crf_cuda_kernels.h"

namespace albert_ner::ops {
namespace {

unsigned blocks_for(int64_t count) {
  return static_cast<unsigned>((count + kBlockThreads - 1) / kBlockThreads);
}

/// The tensors of a CRF problem, and what its kernels need of them. Its device is the current one meanwhile.
class Problem {
 public:
  Problem(const at::Tensor& emissions, const at::Tensor& offsets, const at::Tensor& transitions,
          const at::Tensor& start_transitions, const at::Tensor& end_transitions)
      : guard_(emissions.device()),
        shape_{offsets.numel() - 1, emissions.size(0), emissions.size(1)},
        emissions_(emissions),
        offsets_(offsets),
        transitions_(transitions.to(at::kDouble)),
        start_(start_transitions),
        end_(end_transitions) {}

  const CrfShape& shape() const { return shape_; }
  at::ScalarType dtype() const { return emissions_.scalar_type(); }
  at::TensorOptions doubles() const { return emissions_.options().dtype(at::kDouble); }
  at::TensorOptions integers() const { return emissions_.options().dtype(at::kInt); }

  template <typename scalar_t>
  Scores<scalar_t> scores() const {
    return {shape_,
            emissions_.const_data_ptr<scalar_t>(),
            offsets_.const_data_ptr<int32_t>(),
            transitions_.const_data_ptr<double>(),
            start_.const_data_ptr<scalar_t>(),
            end_.const_data_ptr<scalar_t>()};
  }

  /// Launches a kernel for this number of tags with a team per sentence. `arguments` come after the scores.
  template <typename scalar_t, typename... Parameters>
  void launch_teams(const char* name, void (*warp_kernel)(Scores<scalar_t>, Parameters...),
                    void (*block_kernel)(Scores<scalar_t>, Parameters...),
                    const Parameters&... arguments) const {
    const bool warp = shape_.K <= kWarpTags;
    const dim3 grid(static_cast<unsigned>(shape_.B));
    const size_t shared = warp ? shape_.K * shape_.K * sizeof(double) : 0;
    launch(name, warp ? warp_kernel : block_kernel, {grid, dim3(warp ? kWarpThreads : kBlockThreads), shared},
           scores<scalar_t>(), arguments...);
  }

  void run(const Lattice& lattice) const {
    AT_DISPATCH_FLOATING_TYPES(dtype(), "crf_lattice", [&] {
      launch_teams<scalar_t>("crf_lattice_kernel", crf_lattice_kernel<WarpTeam, scalar_t>,
                             crf_lattice_kernel<BlockTeam, scalar_t>, lattice);
    });
  }

  void run(const BestPaths& paths) const {
    AT_DISPATCH_FLOATING_TYPES(dtype(), "crf_viterbi", [&] {
      launch_teams<scalar_t>("crf_viterbi_kernel", crf_viterbi_kernel<WarpTeam, scalar_t>,
                             crf_viterbi_kernel<BlockTeam, scalar_t>, paths);
    });
  }

  void run(const RankedPaths& paths) const {
    AT_DISPATCH_FLOATING_TYPES(dtype(), "crf_nbest", [&] {
      launch_teams<scalar_t>("crf_nbest_kernel", crf_nbest_kernel<WarpTeam, scalar_t>,
                             crf_nbest_kernel<BlockTeam, scalar_t>, paths);
    });
  }

 private:
  c10::DeviceGuard guard_;
  CrfShape shape_;
  at::Tensor emissions_;
  at::Tensor offsets_;
  at::Tensor transitions_;  // [K, K] float64
  at::Tensor start_;
  at::Tensor end_;
};

/// What the forward operators save for the backward ones: float64, [N*K] expected less observed tags, then
/// [B, counts_width] expected less observed counts of each sentence.
at::Tensor room_to_save(const Problem& problem) {
  const auto [B, N, K] = problem.shape();
  return at::empty({N * K + B * counts_width(K)}, problem.doubles());
}

/// log Z of each sentence, or the nll of the tags where given, [B] float64; fills `saved`.
at::Tensor expected_counts(const Problem& problem, const at::Tensor& tags, at::Tensor& saved) {
  const auto [B, N, K] = problem.shape();
  at::Tensor log_scores = at::empty({B}, problem.doubles());      // [B]
  at::Tensor lattice = at::empty({2, N, K}, problem.doubles());   // [2, N, K] alphas, betas
  at::Tensor arrivals = at::empty({N, K, 2}, problem.doubles());  // [N, K] ScaledSum
  double* saved_data = saved.mutable_data_ptr<double>();
  double* lattice_data = lattice.mutable_data_ptr<double>();
  problem.run(Lattice{log_scores.mutable_data_ptr<double>(), lattice_data, lattice_data + N * K,
                      reinterpret_cast<ScaledSum*>(arrivals.mutable_data_ptr<double>()), saved_data,
                      saved_data + N * K, tags.defined() ? tags.const_data_ptr<int32_t>() : nullptr});
  return log_scores;
}

std::tuple<at::Tensor, at::Tensor> crf_nll_forward_cuda(const at::Tensor& emissions, const at::Tensor& tags,
                                                        const at::Tensor& offsets,
                                                        const at::Tensor& transitions,
                                                        const at::Tensor& start_transitions,
                                                        const at::Tensor& end_transitions) {
  const Problem problem(emissions, offsets, transitions, start_transitions, end_transitions);
  at::Tensor saved = room_to_save(problem);
  const at::Tensor nll = expected_counts(problem, tags, saved);  // [B]
  return {nll.to(emissions.scalar_type()), saved};
}

using CrfGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// The gradients of sum_b grad_nll[b] nll[b] from what a forward operator saved.
CrfGradients weighted_gradients(const at::Tensor& grad_nll, const at::Tensor& emissions,
                                const at::Tensor& offsets, const at::Tensor& saved) {
  const CrfShape shape{offsets.numel() - 1, emissions.size(0), emissions.size(1)};
  const int64_t K = shape.K;
  at::Tensor d_emissions = at::empty_like(emissions);                 // [N, K]
  at::Tensor d_transitions = at::empty({K, K}, emissions.options());  // [K, K]
  at::Tensor d_start = at::empty({K}, emissions.options());           // [K]
  at::Tensor d_end = at::empty({K}, emissions.options());             // [K]
  const double* saved_data = saved.const_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_nll_backward", [&] {
    const scalar_t* grad_b = grad_nll.const_data_ptr<scalar_t>();
    launch("crf_weigh_kernel", crf_weigh_kernel<scalar_t>,
           {dim3(static_cast<unsigned>(shape.B)), dim3(kBlockThreads)}, shape,
           offsets.const_data_ptr<int32_t>(), grad_b, saved_data, d_emissions.mutable_data_ptr<scalar_t>());
    const TransitionGradients<scalar_t> out{d_transitions.mutable_data_ptr<scalar_t>(),
                                            d_start.mutable_data_ptr<scalar_t>(),
                                            d_end.mutable_data_ptr<scalar_t>()};
    launch("crf_add_counts_kernel", crf_add_counts_kernel<scalar_t>,
           {dim3(blocks_for(counts_width(K))), dim3(kBlockThreads)}, shape, grad_b, saved_data + shape.N * K,
           out);
  });
  return {d_emissions, d_transitions, d_start, d_end};
}

CrfGradients crf_nll_backward_cuda(const at::Tensor& grad_nll, const at::Tensor& emissions, const at::Tensor&,
                                   const at::Tensor& offsets, const at::Tensor&, const at::Tensor&,
                                   const at::Tensor&, const at::Tensor& alphas) {
  const c10::DeviceGuard guard(emissions.device());
  return weighted_gradients(grad_nll, emissions, offsets, alphas);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> crf_partial_nll_forward_cuda(
    const at::Tensor& emissions, const at::Tensor& allowed, const at::Tensor& offsets,
    const at::Tensor& transitions, const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const c10::DeviceGuard guard(emissions.device());
  // -inf wherever a tag isn't allowed.
  const at::Tensor constrained = emissions.masked_fill(allowed.logical_not(), -HUGE_VAL);  // [N, K]
  const Problem free(emissions, offsets, transitions, start_transitions, end_transitions);
  const Problem fixed(constrained, offsets, transitions, start_transitions, end_transitions);
  at::Tensor saved = room_to_save(free);
  at::Tensor saved_fixed = room_to_save(fixed);
  const at::Tensor log_z = expected_counts(free, at::Tensor(), saved);               // [B]
  const at::Tensor log_z_fixed = expected_counts(fixed, at::Tensor(), saved_fixed);  // [B]
  // Without a legal allowed path the difference would be +inf, which isn't a loss to learn from.
  const at::Tensor legal = log_z_fixed.masked_fill(log_z_fixed == -HUGE_VAL, NAN);  // [B]
  // As in crf_nll: rounding must not make a likelihood above 1.
  const at::Tensor nll = (log_z - legal).clamp_min(0);  // [B]
  return {nll.to(emissions.scalar_type()), saved, saved_fixed};
}

CrfGradients crf_partial_nll_backward_cuda(const at::Tensor& grad_nll, const at::Tensor& emissions,
                                           const at::Tensor&, const at::Tensor& offsets, const at::Tensor&,
                                           const at::Tensor&, const at::Tensor&, const at::Tensor& alphas,
                                           const at::Tensor& constrained_alphas) {
  const c10::DeviceGuard guard(emissions.device());
  return weighted_gradients(grad_nll, emissions, offsets, alphas - constrained_alphas);
}

/// Tags [N] and their scores [B].
std::tuple<at::Tensor, at::Tensor> best_paths(const Problem& problem) {
  const auto [B, N, K] = problem.shape();
  at::Tensor tags = at::empty({N}, problem.integers());        // [N]
  at::Tensor score = at::empty({B}, problem.doubles());        // [B]
  at::Tensor best = at::empty({N, K}, problem.doubles());      // [N, K]
  at::Tensor origins = at::empty({N, K}, problem.integers());  // [N, K]
  problem.run(BestPaths{best.mutable_data_ptr<double>(), origins.mutable_data_ptr<int32_t>(),
                        tags.mutable_data_ptr<int32_t>(), score.mutable_data_ptr<double>()});
  return {tags, score.to(problem.dtype())};
}

/// Marginals [N, K] and log Z [B].
std::tuple<at::Tensor, at::Tensor> marginals(const Problem& problem) {
  const auto [B, N, K] = problem.shape();
  at::Tensor log_partition = at::empty({B}, problem.doubles());  // [B]
  at::Tensor tables = at::empty({3, N, K}, problem.doubles());   // [3, N, K] alphas, betas, marginals
  double* data = tables.mutable_data_ptr<double>();
  problem.run(Lattice{log_partition.mutable_data_ptr<double>(), data, data + N * K, nullptr, data + 2 * N * K,
                      nullptr, nullptr});
  // Not a view of the tables: they would live on with it.
  return {tables.select(0, 2).to(problem.dtype(), false, true), log_partition.to(problem.dtype())};
}

/// A private operator that makes two tensors of a problem alone.
template <std::tuple<at::Tensor, at::Tensor> (*decode)(const Problem&)>
std::tuple<at::Tensor, at::Tensor> decoding_cuda(const at::Tensor& emissions, const at::Tensor& offsets,
                                                 const at::Tensor& transitions,
                                                 const at::Tensor& start_transitions,
                                                 const at::Tensor& end_transitions) {
  return decode(Problem(emissions, offsets, transitions, start_transitions, end_transitions));
}

std::tuple<at::Tensor, at::Tensor> crf_nbest_cuda(const at::Tensor& emissions, const at::Tensor& offsets,
                                                  const at::Tensor& transitions,
                                                  const at::Tensor& start_transitions,
                                                  const at::Tensor& end_transitions, int64_t count) {
  const Problem problem(emissions, offsets, transitions, start_transitions, end_transitions);
  const auto [B, N, K] = problem.shape();
  at::Tensor paths = at::empty({count, N}, problem.integers());          // [count, N]
  at::Tensor path_scores = at::empty({B, count}, problem.doubles());     // [B, count]
  at::Tensor scores = at::empty({N, K, count}, problem.doubles());       // [N, K, count]
  at::Tensor origins = at::empty({N, K, count, 2}, problem.integers());  // [N, K, count] WayOrigin
  at::Tensor ends = at::empty({B, count, 2}, problem.integers());        // [B, count] WayOrigin
  at::Tensor heads = at::empty({B, K, K}, problem.integers());           // [B, K, K]
  problem.run(RankedPaths{count, scores.mutable_data_ptr<double>(),
                          reinterpret_cast<WayOrigin*>(origins.mutable_data_ptr<int32_t>()),
                          reinterpret_cast<WayOrigin*>(ends.mutable_data_ptr<int32_t>()),
                          heads.mutable_data_ptr<int32_t>(), paths.mutable_data_ptr<int32_t>(),
                          path_scores.mutable_data_ptr<double>()});
  return {paths, path_scores.to(problem.dtype())};
}

std::tuple<at::Tensor, at::Tensor> crf_span_posterior_cuda(
    const at::Tensor& emissions, const at::Tensor& path_tags, const at::Tensor& offsets,
    const at::Tensor& spans, const at::Tensor& continuation, const at::Tensor& transitions,
    const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  const Problem problem(emissions, offsets, transitions, start_transitions, end_transitions);
  const auto [B, N, K] = problem.shape();
  const SpanShape shape{spans.size(0), B};
  at::Tensor posteriors = at::empty({shape.S}, emissions.options());  // [S]
  at::Tensor log_partition = at::empty({B}, problem.doubles());       // [B]
  at::Tensor lattice = at::empty({2, N, K}, problem.doubles());       // [2, N, K] alphas, betas
  double* alphas = lattice.mutable_data_ptr<double>();
  double* betas = alphas + N * K;
  problem.run(
      Lattice{log_partition.mutable_data_ptr<double>(), alphas, betas, nullptr, nullptr, nullptr, nullptr});
  AT_DISPATCH_FLOATING_TYPES(emissions.scalar_type(), "crf_span_posterior", [&] {
    const Scores<scalar_t> scores = problem.scores<scalar_t>();
    const CrfSpanTables<scalar_t> tables{problem.shape().K,
                                         scores.transitions_kk,
                                         scores.emissions_nk,
                                         path_tags.const_data_ptr<int32_t>(),
                                         continuation.const_data_ptr<int32_t>(),
                                         alphas,
                                         betas};
    launch("crf_span_kernel", crf_span_kernel<scalar_t>, {dim3(blocks_for(shape.S)), dim3(kBlockThreads)},
           tables, shape, scores.offsets, spans.const_data_ptr<int32_t>(),
           posteriors.mutable_data_ptr<scalar_t>());
  });
  return {posteriors, log_partition.to(emissions.scalar_type())};
}

ALBERT_NER_CUDA_LIBRARY(m) {
  m.impl("_crf_nll_forward", crf_nll_forward_cuda);
  m.impl("_crf_nll_backward", crf_nll_backward_cuda);
  m.impl("_crf_partial_nll_forward", crf_partial_nll_forward_cuda);
  m.impl("_crf_partial_nll_backward", crf_partial_nll_backward_cuda);
  m.impl("_crf_viterbi", decoding_cuda<best_paths>);
  m.impl("_crf_nbest", crf_nbest_cuda);
  m.impl("_crf_marginals", decoding_cuda<marginals>);
  m.impl("_crf_span_posterior", crf_span_posterior_cuda);
}

}  // namespace
}  // namespace albert_ner::ops
