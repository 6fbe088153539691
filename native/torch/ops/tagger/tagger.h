// The head's training step in one call: BiLSTM, linear layer and CRF, forwards and backwards.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace albert_ner::ops {

/// A batch, the head and what is dropped.
///
///   features       [N, D]  float32|float16
///   offsets        [B+1]   int32    as in crf.h; at least one row
///   tags           [N]     int32    in [0, K)
///   head                   float32  w_ih [4H, D], w_hh [4H, H], b_ih [4H], b_hh [4H] of the forward
///                                   direction, the same of the reverse direction, then classifier weight
///                                   [K, 2H] and bias [K], transitions [K, K], start and end transitions [K],
///                                   forbidden ones at -inf
///   dropout                [0, 1)   probability, of the features and of the BiLSTM's output
///   seed                            of the dropout masks: equal seeds drop the same places
struct TaggerArgs {
  const at::Tensor& features;
  const at::Tensor& offsets;
  const at::Tensor& tags;
  at::TensorList head;
  double dropout;
  int64_t seed;
};

/// Loss and gradients of a batch.
///
///   gradients              float32  of the head's tensors, in their order and shapes; overwritten
///   features_grad  [N, D]  float32  overwritten, or undefined: not wanted
///   returns                         nats, mean per row; not finite when tags use forbidden moves or a
///                                   parameter isn't finite, and gradients mean nothing then
///
/// float16 features give what their float32 values give, to the bit. CPU. Deterministic, the same bits for
/// any number of threads. Its memory is kept for the next call of the thread: once the thread has seen its
/// largest batch nothing is allocated, except for sentences whose scores spread so far that they are done in
/// log space. Throws kInvalidArgument on disagreement of shape, dtype or device and for a batch without rows.
double tagger_loss(const TaggerArgs& args, at::TensorList gradients, const at::Tensor& features_grad);

}  // namespace albert_ner::ops
