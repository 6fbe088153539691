// The bidirectional LSTM layer on packed sequences.
#pragma once

#include <ATen/core/Tensor.h>

namespace albert_ner::ops {

/// Weights of one direction, in PyTorch's layout; gates in the order i, f, g, o.
struct LstmWeights {
  at::Tensor w_ih;  // [4H, D]
  at::Tensor w_hh;  // [4H, H]
  at::Tensor b_ih;  // [4H]
  at::Tensor b_hh;  // [4H]
};

/// One bidirectional LSTM layer with zero initial states, packed.
///
///   features  [N, D]   float32|float64
///   offsets   [B+1]    int32        sentence b is rows offsets[b] .. offsets[b+1]-1; may be empty
///   returns   [N, 2H]  as features  hidden states, forward then reverse
///
/// Differentiable once in features and all weights; the gradient of features is computed only when it is
/// needed. Without gradients nothing is saved. CPU and CUDA. Deterministic for any number of threads. O(N (D
/// + H) H) time. Throws kInvalidArgument on disagreement of shape, dtype or device. Source: Hochreiter and
/// Schmidhuber 1997 with the forget gate of Gers, Schmidhuber and Cummins 2000; gate order and biases as
/// torch.nn.LSTM.
at::Tensor bilstm(const at::Tensor& features, const at::Tensor& offsets, const LstmWeights& forward,
                  const LstmWeights& reverse);

}  // namespace albert_ner::ops
