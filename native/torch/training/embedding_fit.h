// Word embeddings fitted to text before pretraining: a log-bilinear model of a unit given its neighbours,
// with negative sampling. It costs a thousandth of a pretraining step per unit, so it can see the whole text
// first.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "runtime/cancel_token.h"
#include "torch/training/frequency_sampler.h"

namespace albert_ner::training {

/// Documents one after the other; document d is ids offsets[d] .. offsets[d+1]-1.
struct PackedText {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets;
};

class EmbeddingFit {
 public:
  /// Random vectors of `width`, equal for equal seeds.
  EmbeddingFit(int64_t vocab_size, int64_t width, uint64_t seed);

  /// One pass over a text on the calling thread, with a learning rate that goes linearly from `first_rate` to
  /// `last_rate`. Throws kInvalidArgument for ids outside the vocabulary, kAborted on cancellation.
  void pass(const PackedText& text, double first_rate, double last_rate,
            const runtime::Cancellation& cancellation);

  /// [V, E], scaled so that its values have this standard deviation.
  at::Tensor table(double deviation) const;

 private:
  void document(const int32_t* ids, int64_t length, float rate);
  void predict(const int32_t* ids, int64_t length, int64_t place, float rate);
  void learn(int32_t target, bool observed, float rate);
  void count(const PackedText& text);

  int64_t vocab_size_;
  int64_t width_;
  FrequencySampler sampler_;
  std::vector<float> vectors_;        // [V, E]
  std::vector<float> biases_;         // [V]
  std::vector<float> place_weights_;  // [2 * window, E]: what a neighbour at each distance contributes
  std::vector<float> context_;        // [E]
  std::vector<float> gradient_;       // [E]
};

}  // namespace albert_ner::training
