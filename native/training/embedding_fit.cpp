// Mnih and Kavukcuoglu 2013 (vLBL) with the negative sampling and subsampling of Mikolov et al. 2013. One
// thread and one order, so that equal seeds give equal vectors.

#include "training/embedding_fit.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "common/check.h"

namespace albert_ner::training {
namespace {

constexpr int64_t kWindow = 4;  // neighbours on each side
constexpr int kNegatives = 5;
constexpr size_t kNoiseSize = 1 << 22;
/// Occurrences of units more frequent than this are thinned out.
constexpr double kFrequent = 1e-3;
constexpr int64_t kDocumentsPerPoll = 256;

#if defined(__x86_64__) && defined(__GNUC__)
#define ALBERT_NER_WIDE __attribute__((target_clones("default", "arch=haswell")))
#else
#define ALBERT_NER_WIDE
#endif

ALBERT_NER_WIDE float dot(const float* a, const float* b, int64_t count) {
  float lanes[8] = {};
  for (int64_t k = 0; k + 8 <= count; k += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += a[k + lane] * b[k + lane];
  }
  float sum = 0;
  for (float lane : lanes) sum += lane;
  for (int64_t k = count - count % 8; k < count; ++k) sum += a[k] * b[k];
  return sum;
}

/// target += scale * source
ALBERT_NER_WIDE void add_scaled(float* target, const float* source, float scale, int64_t count) {
  for (int64_t k = 0; k < count; ++k) target[k] += scale * source[k];
}

/// target += a * b, element by element
ALBERT_NER_WIDE void add_product(float* target, const float* a, const float* b, int64_t count) {
  for (int64_t k = 0; k < count; ++k) target[k] += a[k] * b[k];
}

/// A neighbour's vector and its weights learn from the gradient of the context.
ALBERT_NER_WIDE void learn_neighbour(float* vector, float* weights, const float* gradient, float weight_rate,
                                     int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    const float before = vector[k];
    vector[k] += weights[k] * gradient[k];
    weights[k] += weight_rate * before * gradient[k];
  }
}

}  // namespace

EmbeddingFit::EmbeddingFit(int64_t vocab_size, int64_t width, uint64_t seed)
    : vocab_size_(vocab_size),
      width_(width),
      random_state_(seed),
      vectors_(static_cast<size_t>(vocab_size * width)),
      biases_(static_cast<size_t>(vocab_size), 0),
      place_weights_(static_cast<size_t>(2 * kWindow * width), 0.5F),
      context_(static_cast<size_t>(width)),
      gradient_(static_cast<size_t>(width)),
      counts_(static_cast<size_t>(vocab_size), 0) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  for (float& value : vectors_) {
    value = scale * (2.0F * static_cast<float>(random() >> 40) / static_cast<float>(1 << 24) - 1.0F);
  }
}

/// splitmix64
uint64_t EmbeddingFit::random() {
  uint64_t mixed = (random_state_ += 0x9e3779b97f4a7c15ULL);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

void EmbeddingFit::count(const PackedText& text) {
  for (int32_t id : text.ids) {
    if (id < 0 || id >= vocab_size_) {
      throw_invalid("ids", "ids in [0, " + std::to_string(vocab_size_) + ")", std::to_string(id));
    }
    ++counts_[id];
  }
  double total = 0;
  double powers = 0;
  for (uint64_t occurrences : counts_) {
    total += static_cast<double>(occurrences);
    powers += std::pow(static_cast<double>(occurrences), 0.75);
  }
  noise_.clear();
  if (total == 0) return;
  kept_share_.assign(static_cast<size_t>(vocab_size_), 1);
  for (int64_t id = 0; id < vocab_size_; ++id) {
    const double occurrences = static_cast<double>(counts_[id]);
    const double share = std::pow(occurrences, 0.75) / powers;
    noise_.insert(noise_.end(), static_cast<size_t>(std::ceil(share * kNoiseSize)), static_cast<int32_t>(id));
    const double frequency = occurrences / total;
    if (frequency > kFrequent) kept_share_[id] = static_cast<float>(std::sqrt(kFrequent / frequency));
  }
}

void EmbeddingFit::pass(const PackedText& text, double first_rate, double last_rate,
                        const runtime::Cancellation& cancellation) {
  count(text);
  if (noise_.empty()) return;
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
    const float kept = kept_share_[ids[place]];
    if (kept < 1 && static_cast<float>(random() >> 40) / static_cast<float>(1 << 24) >= kept) continue;
    predict(ids, length, place, rate);
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
    const int32_t unit = noise_[random() % noise_.size()];
    if (unit != ids[place]) learn(unit, false, rate);
  }
  // The weights are shared by all units and so learn slowly.
  for_each_neighbour([&](float* vector, float* weights) {
    learn_neighbour(vector, weights, gradient_.data(), 0.1F, width_);
  });
}

/// One logistic step on a unit; the context's gradient is collected.
void EmbeddingFit::learn(int32_t target, bool observed, float rate) {
  float* vector = vectors_.data() + target * width_;
  const float score = dot(context_.data(), vector, width_) + biases_[target];
  const float probability = 1.0F / (1.0F + std::exp(-score));
  const float step = rate * ((observed ? 1.0F : 0.0F) - probability);
  add_scaled(gradient_.data(), vector, step, width_);
  add_scaled(vector, context_.data(), step, width_);
  biases_[target] += step;
}

at::Tensor EmbeddingFit::table(double deviation) const {
  at::Tensor table = at::empty({vocab_size_, width_});
  std::copy(vectors_.begin(), vectors_.end(), table.mutable_data_ptr<float>());
  return table.mul_(deviation / table.std().item<double>());
}

}  // namespace albert_ner::training
