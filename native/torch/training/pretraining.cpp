#include "torch/training/pretraining.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "common/check.h"
#include "torch/support/on_device.h"
#include "torch/training/gradients.h"

namespace albert_ner::training {
namespace {

/// Places in pretraining_shapes.
enum HeadPlace : size_t {
  kPoolerWeight,
  kPoolerBias,
  kTransformWeight,
  kTransformBias,
  kTransformNormWeight,
  kTransformNormBias,
  kDecoderBias,
  kOrderWeight,
  kOrderBias,
};

/// A loss with its gradient's graph, and what is counted beside it.
struct Losses {
  at::Tensor masked;  // sums
  at::Tensor order;
  PretrainingScores scores;
};

int64_t correct(const at::Tensor& logits, const at::Tensor& expected) {
  return (logits.argmax(1) == expected).sum().item<int64_t>();
}

void check(const PretrainingBatch& batch, int64_t vocab_size) {
  check_argument(batch.masked_ids.size() == batch.masked_rows.size(), "maskedIds", "one id per masked row",
                 batch.masked_ids.size());
  check_argument(batch.order_labels.size() == batch.tokens.lengths.size(), "orderLabels",
                 "one label per sequence", batch.order_labels.size());
  const int64_t rows = static_cast<int64_t>(batch.tokens.ids.size());
  for (int64_t row : batch.masked_rows) {
    check_argument(row >= 0 && row < rows, "maskedRows", "rows of the batch", row);
  }
  for (int64_t id : batch.masked_ids) {
    check_argument(id >= 0 && id < vocab_size, "maskedIds", "ids of the vocabulary", id);
  }
  for (int64_t label : batch.order_labels) {
    check_argument(label >= -1 && label <= 1, "orderLabels", "-1, 0 or 1", label);
  }
}

/// Logits over the vocabulary for some of the hidden states, [P, V].
at::Tensor vocabulary_logits(const at::Tensor& hidden_states, std::vector<int64_t> places,
                             const encoder::Albert& encoder, const encoder::NamedTensors& heads) {
  const int64_t P = static_cast<int64_t>(places.size());
  if (encoder.config().precision == encoder::Precision::kBFloat16) {
    while (places.size() % encoder::kBFloat16Rows != 0) places.push_back(0);
  }
  const at::Tensor rows = hidden_states.index_select(0, on_device(places, hidden_states.device()));
  auto head = [&](HeadPlace place) { return heads[place].second; };
  const auto& config = encoder.config();
  at::Tensor hidden =
      encoder::linear_in(config.precision, rows, head(kTransformWeight), head(kTransformBias));  // [P, E]
  hidden = encoder::activate(hidden, config.activation).to(at::kFloat);
  hidden = at::layer_norm(hidden, {config.embedding_size}, head(kTransformNormWeight),
                          head(kTransformNormBias), config.layer_norm_eps);
  return encoder::linear_in(config.precision, hidden, encoder.word_embeddings(), head(kDecoderBias))
      .narrow(0, 0, P)
      .to(at::kFloat);
}

Losses losses(const encoder::Albert& encoder, const encoder::NamedTensors& heads,
              const PretrainingBatch& batch) {
  check(batch, encoder.config().vocab_size);
  const at::Device device = encoder.device();
  check_argument(!batch.tokens.ids.empty(), "ids", "at least one row", 0);
  const at::Tensor hidden =
      encoder.hidden_states(batch.tokens, encoder.config().layer_count).back();  // [M, D]
  Losses result{at::zeros({}, hidden.options()), at::zeros({}, hidden.options()), {}};
  if (!batch.masked_rows.empty()) {
    const at::Tensor expected = on_device(batch.masked_ids, device);  // [P]
    const at::Tensor logits = vocabulary_logits(hidden, batch.masked_rows, encoder, heads);
    result.masked = at::cross_entropy_loss(logits, expected, {}, at::Reduction::Sum);
    result.scores.masked_loss = result.masked.item<double>();
    result.scores.masked_count = expected.numel();
    result.scores.masked_correct = correct(logits, expected);
  }
  std::vector<int64_t> first_rows;  // of the sequences asked for their order
  std::vector<int64_t> labels;
  int64_t row = 0;
  for (size_t b = 0; b < batch.order_labels.size(); ++b) {
    if (batch.order_labels[b] >= 0) {
      first_rows.push_back(row);
      labels.push_back(batch.order_labels[b]);
    }
    row += batch.tokens.lengths[b];
  }
  if (!labels.empty()) {
    auto head = [&](HeadPlace place) { return heads[place].second; };
    const at::Tensor expected = on_device(labels, device);
    const at::Tensor pooled = at::linear(hidden.index_select(0, on_device(first_rows, device)),
                                         head(kPoolerWeight), head(kPoolerBias))
                                  .tanh();
    const at::Tensor logits = at::linear(pooled, head(kOrderWeight), head(kOrderBias));  // [S, 2]
    result.order = at::cross_entropy_loss(logits, expected, {}, at::Reduction::Sum);
    result.scores.order_loss = result.order.item<double>();
    result.scores.order_count = expected.numel();
    result.scores.order_correct = correct(logits, expected);
  }
  return result;
}

void add(PretrainingScores& sum, const PretrainingScores& scores) {
  sum.masked_loss += scores.masked_loss;
  sum.masked_count += scores.masked_count;
  sum.masked_correct += scores.masked_correct;
  sum.order_loss += scores.order_loss;
  sum.order_count += scores.order_count;
  sum.order_correct += scores.order_correct;
}

}  // namespace

std::vector<std::pair<std::string, std::vector<int64_t>>> pretraining_shapes(
    const encoder::AlbertConfig& config) {
  const int64_t V = config.vocab_size;
  const int64_t E = config.embedding_size;
  const int64_t D = config.hidden_size;
  return {{"pooler.weight", {D, D}},
          {"pooler.bias", {D}},
          {"predictions.dense.weight", {E, D}},
          {"predictions.dense.bias", {E}},
          {"predictions.LayerNorm.weight", {E}},
          {"predictions.LayerNorm.bias", {E}},
          {"predictions.bias", {V}},
          {"sop_classifier.classifier.weight", {2, D}},
          {"sop_classifier.classifier.bias", {2}}};
}

encoder::NamedTensors random_pretraining_weights(const encoder::AlbertConfig& config, uint64_t seed,
                                                 at::Device device) {
  return encoder::random_weights(pretraining_shapes(config), config.initializer_range, seed, device);
}

NamedParameters pretraining_parameters(const encoder::Albert& encoder, const encoder::NamedTensors& heads) {
  NamedParameters parameters = encoder.weights();
  parameters.insert(parameters.end(), heads.begin(), heads.end());
  return parameters;
}

PretrainingScores pretrain_step(const encoder::Albert& encoder, const encoder::NamedTensors& heads,
                                Optimizer& optimizer, const std::vector<PretrainingBatch>& batches,
                                double learning_rate) {
  double masked_count = 0;
  double order_count = 0;
  for (const PretrainingBatch& batch : batches) {
    masked_count += static_cast<double>(batch.masked_rows.size());
    order_count += static_cast<double>(std::count_if(batch.order_labels.begin(), batch.order_labels.end(),
                                                     [](int64_t label) { return label >= 0; }));
  }
  check_argument(masked_count > 0, "maskedRows", "at least one masked row", masked_count);
  const GradientScope scope(optimizer.parameters());
  std::vector<at::Tensor> gradients(optimizer.parameters().size());
  PretrainingScores scores;
  at::Tensor total = at::zeros({}, encoder.word_embeddings().options());
  for (const PretrainingBatch& batch : batches) {
    const Losses part = losses(encoder, heads, batch);
    const at::Tensor loss = part.masked / masked_count + part.order / std::max(order_count, 1.0);
    add(scores, part.scores);
    const std::vector<at::Tensor> added = scope.gradients(loss);
    at::NoGradGuard no_grad;
    total += loss;
    for (size_t k = 0; k < added.size(); ++k) {
      gradients[k] = gradients[k].defined() ? gradients[k].add_(added[k]) : added[k];
    }
  }
  scores.gradient_norm =
      optimizer.step(total, gradients, [&](const std::string&) { return learning_rate; }).gradient_norm;
  return scores;
}

PretrainingScores pretrain_scores(const encoder::Albert& encoder, const encoder::NamedTensors& heads,
                                  const PretrainingBatch& batch) {
  at::NoGradGuard no_grad;
  return losses(encoder, heads, batch).scores;
}

}  // namespace albert_ner::training
