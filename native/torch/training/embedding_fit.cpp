// Mnih and Kavukcuoglu 2013 (vLBL) with the negative sampling and subsampling of Mikolov et al. 2013. One
// thread and one order, so that equal seeds give equal vectors.

#include "torch/training/embedding_fit.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "torch/training/vector_math.h"

namespace albert_ner::training {
namespace {

constexpr int64_t kWindow = 4;  // neighbours on each side
constexpr int kNegatives = 5;
/// Occurrences of units more frequent than this are thinned out.
constexpr double kFrequent = 1e-3;
constexpr int64_t kDocumentsPerPoll = 256;

}  // namespace

EmbeddingFit::EmbeddingFit(int64_t vocab_size, int64_t width, uint64_t seed)
    : vocab_size_(vocab_size),
      width_(width),
      sampler_(vocab_size, kFrequent, seed + 1),
      vectors_(static_cast<size_t>(vocab_size * width)),
      biases_(static_cast<size_t>(vocab_size), 0),
      place_weights_(static_cast<size_t>(2 * kWindow * width), 0.5F),
      context_(static_cast<size_t>(width)),
      gradient_(static_cast<size_t>(width)) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  for (float& value : vectors_) {
    value = scale * (2.0F * next_uniform(&seed) - 1.0F);
  }
}

void EmbeddingFit::count(const PackedText& text) {
  for (int32_t id : text.ids) {
    if (id < 0 || id >= vocab_size_) {
      throw_invalid("ids", "ids in [0, " + std::to_string(vocab_size_) + ")", std::to_string(id));
    }
    sampler_.count(id);
  }
  sampler_.update();
}

void EmbeddingFit::pass(const PackedText& text, double first_rate, double last_rate,
                        const runtime::Cancellation& cancellation) {
  count(text);
  if (sampler_.empty()) return;
  const int64_t documents = static_cast<int64_t>(text.offsets.size()) - 1;
  for (int64_t d = 0; d < documents; ++d) {
    if (d % kDocumentsPerPoll == 0) cancellation.poll();
    const double done = static_cast<double>(d) / static_cast<double>(documents);
    document(text.ids.data() + text.offsets[d], text.offsets[d + 1] - text.offsets[d],
             static_cast<float>(first_rate + done * (last_rate - first_rate)));
  }
}

void EmbeddingFit::document(const int32_t* ids, int64_t length, float rate) {
  for (int64_t place = 0; place < length; ++place) {
    if (sampler_.keep(ids[place])) predict(ids, length, place, rate);
  }
}

/// Raises the probability of ids[place] given its neighbours, and lowers that of noise.
void EmbeddingFit::predict(const int32_t* ids, int64_t length, int64_t place, float rate) {
  std::fill(context_.begin(), context_.end(), 0.0F);
  std::fill(gradient_.begin(), gradient_.end(), 0.0F);
  auto for_each_neighbour = [&](auto body) {
    for (int64_t k = 0; k < 2 * kWindow; ++k) {
      const int64_t neighbour = place + (k < kWindow ? k - kWindow : k - kWindow + 1);
      if (neighbour < 0 || neighbour >= length) continue;
      body(vectors_.data() + ids[neighbour] * width_, place_weights_.data() + k * width_);
    }
  };
  for_each_neighbour([&](const float* vector, const float* weights) {
    add_product(context_.data(), vector, weights, width_);
  });
  learn(ids[place], true, rate);
  for (int k = 0; k < kNegatives; ++k) {
    const int32_t unit = sampler_.draw();
    if (unit != ids[place]) learn(unit, false, rate);
  }
  for_each_neighbour(
      [&](float* vector, float* weights) { learn_neighbour(vector, weights, gradient_.data(), width_); });
}

void EmbeddingFit::learn(int32_t target, bool observed, float rate) {
  learn_target(vectors_.data() + target * width_, &biases_[target], context_.data(), gradient_.data(),
               observed, rate, width_);
}

at::Tensor EmbeddingFit::table(double deviation) const {
  at::Tensor table = at::empty({vocab_size_, width_});
  std::copy(vectors_.begin(), vectors_.end(), table.mutable_data_ptr<float>());
  return table.mul_(deviation / table.std().item<double>());
}

}  // namespace albert_ner::training
