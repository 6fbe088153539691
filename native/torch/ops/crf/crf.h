// Linear-chain CRF operators on packed sequences: loss, best path, marginals, span posteriors.
//
// Common arguments
//   emissions          [N, K]  float32|float64  unnormalised log scores
//   offsets            [B+1]   int32            sentence b is rows offsets[b] .. offsets[b+1]-1; may be empty
//   transitions        [K, K]  as emissions     row i, column j scores i -> j
//   start_transitions  [K]     as emissions     score of the first tag
//   end_transitions    [K]     as emissions     score of the last tag
//
// A score of -inf forbids: a forbidden tag or move has probability exactly 0 and is never on a best path.
// Other scores must be finite, at most 1e280 in magnitude. float32 is exact to 1e-4 whatever the scores and
// for sentences of thousands of units: on the CPU it runs in scaled exp space, and in log space and float64
// where scores spread too far for that; on CUDA sums run in float64. Deterministic, the same bits for any
// number of threads. CPU and CUDA. All throw kInvalidArgument on disagreement of
// shape, dtype or device, on indices out of range, on NaN, +inf or larger scores, and for a sentence without
// any legal path, which is named by its number.
//
// On CUDA nothing waits for the device, so values aren't read there: a NaN, a +inf or a sentence without a
// legal path makes the results of that sentence NaN (its best paths have the score -inf), and indices out of
// range fail an assertion of the kernel. Memory there is O(N K + B K^2), for crf_nbest O(N K count + B K^2).
//
// Source: Lafferty, McCallum and Pereira 2001; for the recursions Rabiner 1989, section III.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace albert_ner::ops {

/// Negative log-likelihood of tag sequences.
///
///   tags     [N]  int32         in [0, K)
///   returns  [B]  as emissions  nats, >= 0, not averaged; 0 for an empty sentence; +inf when tags use a
///                               forbidden move
///
/// Differentiable once in emissions and the three transition tensors: marginals minus counts. The gradient of
/// a forbidden move is exactly 0, unless tags use it: then it is minus the number of its uses, and all
/// gradients stay finite. O(N K^2) time, O(N K) memory.
at::Tensor crf_nll(const at::Tensor& emissions, const at::Tensor& tags, const at::Tensor& offsets,
                   const at::Tensor& transitions, const at::Tensor& start_transitions,
                   const at::Tensor& end_transitions);

/// Negative log-likelihood of partial annotations: of all tag sequences that use allowed tags only.
///
///   allowed  [N, K]  bool          the tags a row may have; one per row is crf_nll
///   returns  [B]     as emissions  nats, >= 0: log Z minus log Z over the allowed sequences; 0 for an empty
///                                  sentence
///
/// Differentiable once in emissions and the three transition tensors: marginals minus marginals given the
/// annotation. Throws kInvalidArgument also for a sentence without a legal allowed path. O(N K^2) time, O(N
/// K) memory. Source: Tsuboi et al. 2008.
at::Tensor crf_partial_nll(const at::Tensor& emissions, const at::Tensor& allowed, const at::Tensor& offsets,
                           const at::Tensor& transitions, const at::Tensor& start_transitions,
                           const at::Tensor& end_transitions);

/// Best tag sequences. Of paths with equal scores the one with the lowest last tag is taken, then the one
/// with the lowest tag before it, and so on.
///
///   returns  tags   [N]  int32
///            score  [B]  as emissions  of the best path, unnormalised; 0 for an empty sentence
///
/// Not differentiable. O(N K^2) time, O(T K) memory per thread.
std::tuple<at::Tensor, at::Tensor> crf_viterbi(const at::Tensor& emissions, const at::Tensor& offsets,
                                               const at::Tensor& transitions,
                                               const at::Tensor& start_transitions,
                                               const at::Tensor& end_transitions);

/// The best tag sequences in order. Ties as in crf_viterbi, whose path is the first.
///
///   count                         at least 1
///   returns  paths   [count, N]  int32         -1 in sentences with fewer paths
///            scores  [B, count]  as emissions  unnormalised; -inf where there is no path; an empty sentence
///                                              has one, of score 0
///
/// Not differentiable. O(N K^2 count log count) time, O(T K count) memory per thread.
std::tuple<at::Tensor, at::Tensor> crf_nbest(const at::Tensor& emissions, const at::Tensor& offsets,
                                             const at::Tensor& transitions,
                                             const at::Tensor& start_transitions,
                                             const at::Tensor& end_transitions, int64_t count);

/// Posterior probability of each tag at each row.
///
///   returns  marginals      [N, K]  as emissions  rows sum to 1
///            log_partition  [B]     as emissions  nats; 0 for an empty sentence
///
/// Not differentiable. O(N K^2) time, O(N K) memory.
std::tuple<at::Tensor, at::Tensor> crf_marginals(const at::Tensor& emissions, const at::Tensor& offsets,
                                                 const at::Tensor& transitions,
                                                 const at::Tensor& start_transitions,
                                                 const at::Tensor& end_transitions);

/// Posterior probability that the path runs through given spans exactly.
///
///   path_tags     [N]     int32  in [0, K); those of rows outside spans have no effect
///   spans         [S, 2]  int32  first row and end row (exclusive) of each span, which isn't empty and lies
///                                in one sentence
///   continuation  [K]     int32  the tag that would prolong a span that ends in tag k; -1: none
///   returns       posteriors     [S]  as emissions  in [0, 1]: the path has path_tags on the span, and the
///                                                   next row of the sentence, if there is one, is not the
///                                                   continuation of its last tag
///                 log_partition  [B]  as emissions  nats; 0 for an empty sentence
///
/// Not differentiable. O(N K^2) time, O(N K) memory.
std::tuple<at::Tensor, at::Tensor> crf_span_posterior(const at::Tensor& emissions,
                                                      const at::Tensor& path_tags, const at::Tensor& offsets,
                                                      const at::Tensor& spans, const at::Tensor& continuation,
                                                      const at::Tensor& transitions,
                                                      const at::Tensor& start_transitions,
                                                      const at::Tensor& end_transitions);

}  // namespace albert_ner::ops
