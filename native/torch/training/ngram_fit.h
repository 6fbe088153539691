// Vectors of n-grams fitted to text before a head learns from labelled sentences: a log-bilinear model of an
// n-gram given the units around it, with negative sampling. n-grams that stand in like places, such as names
// of people, get like vectors, so what the head learns of some holds for the others.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "runtime/cancel_token.h"
#include "torch/training/embedding_fit.h"
#include "torch/training/frequency_sampler.h"

namespace albert_ner::training {

class NgramFit {
 public:
  /// Random vectors of `width` for the n-grams of these keys, ascending, see engine/ngrams.h; equal for equal
  /// seeds.
  NgramFit(std::vector<int32_t> keys, int64_t vocab_size, int64_t width, uint64_t seed);

  /// One pass over a text on the calling thread, with a learning rate that goes linearly from `first_rate` to
  /// `last_rate`. Throws kInvalidArgument for ids outside the vocabulary, kAborted on cancellation.
  void pass(const PackedText& text, double first_rate, double last_rate,
            const runtime::Cancellation& cancellation);

  /// [R+1, W]: zeros for units without n-grams, then a row for each key; the keys' values have this standard
  /// deviation.
  at::Tensor table(double deviation) const;

 private:
  void count(const PackedText& text);
  /// Learns from the n-grams of a part of the documents.
  void documents(const PackedText& text, int64_t first, int64_t last, float rate);
  /// Raises the probability of the n-gram of `length` units that ends at `end`, given the units around it,
  /// and lowers that of noise.
  void predict(const int32_t* ids, int64_t count, int64_t end, int64_t length, int64_t key, float rate);

  std::vector<int32_t> keys_;
  int64_t vocab_size_;
  int64_t width_;
  FrequencySampler sampler_;
  std::vector<float> vectors_;        // [R, W]
  std::vector<float> biases_;         // [R]
  std::vector<float> units_;          // [V, W]: what a unit says of the n-grams beside it
  std::vector<float> place_weights_;  // [2 * window, W]: of a neighbour at each distance
  std::vector<float> context_;        // [W]
  std::vector<float> gradient_;       // [W]
};

}  // namespace albert_ner::training
