// Linear-chain CRF operators on packed sequences: loss, best path, marginals, span posteriors.
//
// Common arguments
//   emissions          [N, K]  float32|float64  unnormalised log scores; NaN and +inf are refused
//   offsets            [B+1]   int32            sentence b is rows offsets[b] .. offsets[b+1]-1; may be empty
//   transitions        [K, K]  as emissions     row i, column j scores i -> j; -inf forbids the move
//   start_transitions  [K]     as emissions     score of the first tag; -inf forbids it
//   end_transitions    [K]     as emissions     score of the last tag; -inf forbids it
//
// A forbidden move has probability and gradient exactly 0 and is never on a best path. Sums run in float64
// whatever the dtype, so sentences of thousands of units lose nothing. Deterministic for any number of
// threads. CPU. All throw kInvalidArgument on disagreement of shape, dtype or device, and for a sentence
// without any legal path. Source: Lafferty, McCallum and Pereira 2001.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace albert_ner::ops {

/// Negative log-likelihood of tag sequences.
///
///   tags     [N]  int32         in [0, K)
///   returns  [B]  as emissions  nats, >= 0, not averaged; 0 for an empty sentence; +inf when tags use a
///   forbidden move
///
/// Differentiable once in emissions and the three transition tensors: marginals minus counts. O(N K^2) time,
/// O(N K) memory.
at::Tensor crf_nll(const at::Tensor& emissions, const at::Tensor& tags, const at::Tensor& offsets,
                   const at::Tensor& transitions, const at::Tensor& start_transitions,
                   const at::Tensor& end_transitions);

/// Best tag sequences. Of equal scores the lower tag index wins.
///
///   returns  tags   [N]  int32
///            score  [B]  as emissions  of the best path, unnormalised; 0 for an empty sentence
std::tuple<at::Tensor, at::Tensor> crf_viterbi(const at::Tensor& emissions, const at::Tensor& offsets,
                                               const at::Tensor& transitions,
                                               const at::Tensor& start_transitions,
                                               const at::Tensor& end_transitions);

/// Posterior probability of each tag at each row.
///
///   returns  marginals      [N, K]  as emissions  rows sum to 1
///            log_partition  [B]     as emissions  0 for an empty sentence
std::tuple<at::Tensor, at::Tensor> crf_marginals(const at::Tensor& emissions, const at::Tensor& offsets,
                                                 const at::Tensor& transitions,
                                                 const at::Tensor& start_transitions,
                                                 const at::Tensor& end_transitions);

/// Posterior probability that the path runs through given spans exactly.
///
///   path_tags     [N]     int32  tags of the rows inside spans; other rows are not read
///   spans         [S, 2]  int32  first row and end row (exclusive) of each span, inside one sentence, not
///   empty continuation  [K]     int32  the tag that would prolong a span ending in tag k; -1: none returns
///   posteriors     [S]  as emissions  in [0, 1]: the path has path_tags on the span and the next row,
///                                                   if there is one, is not the continuation of its last tag
///                 log_partition  [B]  as emissions  0 for an empty sentence
std::tuple<at::Tensor, at::Tensor> crf_span_posterior(const at::Tensor& emissions,
                                                      const at::Tensor& path_tags, const at::Tensor& offsets,
                                                      const at::Tensor& spans, const at::Tensor& continuation,
                                                      const at::Tensor& transitions,
                                                      const at::Tensor& start_transitions,
                                                      const at::Tensor& end_transitions);

}  // namespace albert_ner::ops
