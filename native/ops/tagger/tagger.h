// The head's training step in one call: BiLSTM, linear layer and CRF, forwards and backwards.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace albert_ner::ops {

struct TaggerLoss {
  double loss;                        // nats, mean per row
  std::vector<at::Tensor> gradients;  // in the order of the head's tensors
  at::Tensor features_gradient;       // [N, D] float32, or undefined
};

/// Loss and gradients of a batch.
///
///   features       [N, D]  float32|float16
///   offsets        [B+1]   int32    as in crf.h; at least one row
///   tags           [N]     int32    in [0, K)
///   head                   float32  w_ih [4H, D], w_hh [4H, H], b_ih [4H], b_hh [4H] of the forward
///   direction, the
///                                   same of the reverse direction, then classifier weight [K, 2H] and bias
///                                   [K], transitions [K, K], start and end transitions [K], forbidden ones
///                                   at -inf
///   dropout                [0, 1)   probability, of the features and of the BiLSTM's output
///   seed                            of the dropout masks: equal seeds drop the same places
///   features_grad                   whether the gradient of the features is wanted
///   returns                         the loss isn't finite when tags use forbidden moves or a parameter isn't
///                                   finite; gradients mean nothing then
///
/// CPU. Deterministic, the same bits for any number of threads. Its memory is kept for the next call of the
/// thread. Throws kInvalidArgument on disagreement of shape, dtype or device and for a batch without rows.
TaggerLoss tagger_loss(const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& tags,
                       at::TensorList head, double dropout, int64_t seed, bool features_grad);

}  // namespace albert_ner::ops
