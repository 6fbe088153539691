// Pretraining: masked language model and sentence-order prediction on top of the encoder (Lan et al. 2020,
// sections 3.1 and 4.1). The masking itself is the caller's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "torch/encoder/albert.h"
#include "torch/training/optimizer.h"

namespace albert_ner::training {

/// Names and shapes of the heads' weights, under the names of Hugging Face's AlbertForPreTraining. The
/// decoder's matrix is the word embedding.
std::vector<std::pair<std::string, std::vector<int64_t>>> pretraining_shapes(
    const encoder::AlbertConfig& config);

/// Weights of both heads in the order of pretraining_shapes, drawn like the encoder's.
encoder::NamedTensors random_pretraining_weights(const encoder::AlbertConfig& config, uint64_t seed,
                                                 at::Device device);

/// Encoder and heads as one list of parameters, in that order.
NamedParameters pretraining_parameters(const encoder::Albert& encoder, const encoder::NamedTensors& heads);

struct PretrainingBatch {
  encoder::TokenPack tokens;
  std::vector<int64_t> masked_rows;   // [P] rows of the pack to predict
  std::vector<int64_t> masked_ids;    // [P] what stood there
  std::vector<int64_t> order_labels;  // [B] 0 in order, 1 swapped, -1 not asked
};

/// Sums over masked rows and over sequences that were asked for their order; losses in nats.
struct PretrainingScores {
  double masked_loss = 0;
  int64_t masked_count = 0;
  int64_t masked_correct = 0;
  double order_loss = 0;
  int64_t order_count = 0;
  int64_t order_correct = 0;
  double gradient_norm = 0;  // of a step, before clipping
};

/// One optimizer step on the gradients of all batches together: the mean loss over their masked rows plus the
/// mean over their ordered pairs. `optimizer` was made of pretraining_parameters. Throws kInvalidArgument for
/// arguments that don't fit and a loss that isn't finite; nothing is changed then.
PretrainingScores pretrain_step(const encoder::Albert& encoder, const encoder::NamedTensors& heads,
                                Optimizer& optimizer, const std::vector<PretrainingBatch>& batches,
                                double learning_rate);

/// The same scores without gradients.
PretrainingScores pretrain_scores(const encoder::Albert& encoder, const encoder::NamedTensors& heads,
                                  const PretrainingBatch& batch);

}  // namespace albert_ner::training
