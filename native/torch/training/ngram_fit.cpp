// Mnih and Kavukcuoglu 2013 (vLBL) and Mikolov et al. 2013 (negative sampling, subsampling), with n-grams for
// words. One thread and one order, so that equal seeds give equal vectors.

#include "torch/training/ngram_fit.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "common/check.h"
#include "engine/ngrams.h"
#include "torch/training/vector_math.h"

namespace albert_ner::training {
namespace {

constexpr int64_t kWindow = 3;  // units on each side of the n-gram
constexpr int kNegatives = 5;
constexpr double kFrequent = 1e-4;
constexpr int64_t kDocumentsPerPoll = 64;

/// Columns of ngram_rows: the pair and the triple that end at a unit.
struct EndingNgram {
  int64_t slot;
  int64_t length;
};
constexpr EndingNgram kEndings[] = {{0, 2}, {2, 3}};

PackedText slice(const PackedText& text, int64_t first, int64_t last) {
  PackedText part;
  part.ids.assign(text.ids.begin() + text.offsets[first], text.ids.begin() + text.offsets[last]);
  for (int64_t d = first; d <= last; ++d) part.offsets.push_back(text.offsets[d] - text.offsets[first]);
  return part;
}

/// Calls body(first, last) for runs of documents.
template <typename Body>
void for_each_run(const PackedText& text, Body body) {
  const int64_t documents = static_cast<int64_t>(text.offsets.size()) - 1;
  for (int64_t first = 0; first < documents; first += kDocumentsPerPoll) {
    body(first, std::min(first + kDocumentsPerPoll, documents), documents);
  }
}

}  // namespace

NgramFit::NgramFit(std::vector<int32_t> keys, int64_t vocab_size, int64_t width, uint64_t seed)
    : keys_(std::move(keys)),
      vocab_size_(vocab_size),
      width_(width),
      sampler_(static_cast<int64_t>(keys_.size()), kFrequent, seed + 1),
      vectors_(keys_.size() * static_cast<size_t>(width), 0),
      biases_(keys_.size(), 0),
      units_(static_cast<size_t>(vocab_size * width)),
      place_weights_(static_cast<size_t>(2 * kWindow * width), 0.5F),
      context_(static_cast<size_t>(width)),
      gradient_(static_cast<size_t>(width)) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  for (std::vector<float>* values : {&units_, &vectors_}) {
    for (float& value : *values) value = scale * (2.0F * next_uniform(&seed) - 1.0F);
  }
}

void NgramFit::count(const PackedText& text) {
  for (int32_t id : text.ids) {
    if (id >= 0 && id < vocab_size_) continue;
    throw_invalid("ids", "ids in [0, " + std::to_string(vocab_size_) + ")", std::to_string(id));
  }
  for_each_run(text, [&](int64_t first, int64_t last, int64_t) {
    const PackedText part = slice(text, first, last);
    const std::vector<int64_t> rows = engine::ngram_rows(part.ids, part.offsets, keys_);
    const int64_t* row = rows.data();
    for (size_t unit = 0; unit < part.ids.size(); ++unit, row += engine::kNgramSlots) {
      for (const EndingNgram& ending : kEndings) {
        if (row[ending.slot] > 0) sampler_.count(row[ending.slot] - 1);
      }
    }
  });
  sampler_.update();
}

void NgramFit::pass(const PackedText& text, double first_rate, double last_rate,
                    const runtime::Cancellation& cancellation) {
  count(text);
  if (sampler_.empty()) return;
  for_each_run(text, [&](int64_t first, int64_t last, int64_t all) {
    cancellation.poll();
    const double done = static_cast<double>(first) / static_cast<double>(all);
    documents(text, first, last, static_cast<float>(first_rate + done * (last_rate - first_rate)));
  });
}

void NgramFit::documents(const PackedText& text, int64_t first, int64_t last, float rate) {
  const PackedText part = slice(text, first, last);
  const std::vector<int64_t> rows = engine::ngram_rows(part.ids, part.offsets, keys_);  // [N, slots]
  const int64_t* row = rows.data();
  for (size_t d = 0; d + 1 < part.offsets.size(); ++d) {
    const int32_t* ids = part.ids.data() + part.offsets[d];
    const int64_t length = part.offsets[d + 1] - part.offsets[d];
    for (int64_t end = 0; end < length; ++end, row += engine::kNgramSlots) {
      for (const EndingNgram& ending : kEndings) {
        const int64_t key = row[ending.slot] - 1;
        if (key >= 0 && sampler_.keep(key)) predict(ids, length, end, ending.length, key, rate);
      }
    }
  }
}

void NgramFit::predict(const int32_t* ids, int64_t count, int64_t end, int64_t length, int64_t key,
                       float rate) {
  std::fill(context_.begin(), context_.end(), 0.0F);
  std::fill(gradient_.begin(), gradient_.end(), 0.0F);
  auto for_each_neighbour = [&](auto body) {
    for (int64_t k = 0; k < 2 * kWindow; ++k) {
      const int64_t neighbour = k < kWindow ? end - length - k : end + 1 + k - kWindow;
      if (neighbour < 0 || neighbour >= count) continue;
      body(units_.data() + ids[neighbour] * width_, place_weights_.data() + k * width_);
    }
  };
  for_each_neighbour([&](const float* vector, const float* weights) {
    add_product(context_.data(), vector, weights, width_);
  });
  auto learn = [&](int64_t target, bool observed) {
    learn_target(vectors_.data() + target * width_, &biases_[target], context_.data(), gradient_.data(),
                 observed, rate, width_);
  };
  learn(key, true);
  for (int k = 0; k < kNegatives; ++k) {
    const int32_t noise = sampler_.draw();
    if (noise != key) learn(noise, false);
  }
  for_each_neighbour(
      [&](float* vector, float* weights) { learn_neighbour(vector, weights, gradient_.data(), width_); });
}

at::Tensor NgramFit::table(double deviation) const {
  const int64_t R = static_cast<int64_t>(keys_.size());
  at::Tensor table = at::zeros({R + 1, width_});
  if (R == 0) return table;
  at::Tensor rows = table.slice(0, 1);
  std::copy(vectors_.begin(), vectors_.end(), rows.mutable_data_ptr<float>());
  rows.mul_(deviation / rows.std().item<double>());
  return table;
}

}  // namespace albert_ner::training
