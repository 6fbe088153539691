// The encoder through libtorch: any device, differentiable. Linear layers see all rows of the pack at once;
// attention goes over each sequence by itself, so nothing is padded and nothing masked.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/check.h"
#include "torch/encoder/albert.h"
#include "torch/ops/add_norm/add_norm.h"
#include "torch/ops/attention/attention.h"
#include "torch/ops/gelu/gelu.h"
#include "torch/support/on_device.h"

namespace albert_ner::encoder {
namespace {

int64_t next_seed(at::Generator& generator) {
  return static_cast<int64_t>(at::check_generator<at::CPUGeneratorImpl>(generator)->random64());
}

}  // namespace

at::Tensor activate(const at::Tensor& rows, Activation activation) {
  switch (activation) {
    case Activation::kGeluErf:
      return at::gelu(rows);
    case Activation::kGeluTanh:
      return ops::gelu_tanh(rows);
    case Activation::kRelu:
      return at::relu(rows);
    case Activation::kSilu:
      return at::silu(rows);
  }
  throw_invalid("activation", "a known activation", std::to_string(static_cast<int>(activation)));
}

at::Tensor dropout_mask(at::IntArrayRef shape, double probability, at::Generator& generator) {
  return ops::dropout_factors(shape, probability, next_seed(generator));
}

at::Tensor Dropout::operator()(const at::Tensor& rows) {
  if (probability == 0) return rows;
  // Made on the CPU, where the generator lives, so that a seed means the same on every device.
  return rows * on_device(dropout_mask(rows.sizes(), probability, generator), rows.device());
}

Albert::Albert(AlbertConfig config, NamedTensors weights) : config_(config), weights_(std::move(weights)) {
  by_name_.insert(weights_.begin(), weights_.end());
}

NamedTensors random_weights(const std::vector<NameAndShape>& shapes, double deviation, uint64_t seed,
                            at::Device device) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  NamedTensors weights;
  for (const auto& [name, shape] : shapes) {
    const bool norm =
        name.find("LayerNorm") != std::string::npos || name.find("layer_norm") != std::string::npos;
    at::Tensor tensor;
    if (name.ends_with("bias")) {
      tensor = at::zeros(shape);
    } else if (norm) {
      tensor = at::ones(shape);
    } else {
      tensor = at::empty(shape).normal_(0, deviation, generator);
    }
    weights.emplace_back(name, tensor.to(device));
  }
  return weights;
}

Albert Albert::random(const AlbertConfig& config, uint64_t seed, at::Device device) {
  return Albert(config, random_weights(weight_shapes(config), config.initializer_range, seed, device));
}

at::Device Albert::device() const {
  return weights_.front().second.device();
}

at::Tensor linear_in(Precision precision, const at::Tensor& rows, const at::Tensor& weight,
                     const at::Tensor& bias) {
  if (precision == Precision::kFloat32) return at::linear(rows, weight, bias);
  return at::linear(rows.to(at::kBFloat16), weight.to(at::kBFloat16), bias.to(at::kBFloat16));
}

at::Tensor Albert::linear(const at::Tensor& rows, const std::string& name) const {
  return linear_in(config_.precision, rows, weight(name + ".weight"), weight(name + ".bias"));
}

at::Tensor Albert::layer_norm(const at::Tensor& rows, const std::string& name) const {
  const at::Tensor& scale = weight(name + ".weight");
  return at::layer_norm(rows, scale.sizes(), scale, weight(name + ".bias"), config_.layer_norm_eps);
}

TokenPack Albert::filled_up(TokenPack pack) const {
  int64_t missing = (kBFloat16Rows - static_cast<int64_t>(pack.ids.size()) % kBFloat16Rows) % kBFloat16Rows;
  while (missing > 0) {
    const int64_t length = std::min(missing, config_.max_position);
    pack.ids.insert(pack.ids.end(), length, 0);
    if (!pack.types.empty()) pack.types.insert(pack.types.end(), length, 0);
    pack.lengths.push_back(length);
    missing -= length;
  }
  return pack;
}

at::Tensor Albert::embed(const TokenPack& pack) const {
  std::vector<int64_t> positions;  // [M]
  for (int64_t length : pack.lengths) {
    for (int64_t position = 0; position < length; ++position) positions.push_back(position);
  }
  at::Tensor words =
      at::embedding(weight("embeddings.word_embeddings.weight"), on_device(pack.ids, device()));  // [M, E]
  const at::Tensor places =
      at::embedding(weight("embeddings.position_embeddings.weight"), on_device(positions, device()));
  const at::Tensor& type_table = weight("embeddings.token_type_embeddings.weight");
  const at::Tensor types = pack.types.empty() ? type_table.select(0, 0)
                                              : at::embedding(type_table, on_device(pack.types, device()));
  if (config_.layout == Layout::kBright) {
    words = at::linear(words, weight("embeddings.word_embeddings_2.weight"));  // [M, D]
    return layer_norm(words + types + places, "embeddings.LayerNorm");
  }
  return linear(layer_norm(words + types + places, "embeddings.LayerNorm"),
                "encoder.embedding_hidden_mapping_in")
      .to(at::kFloat);
}

LayerRows Albert::add_and_norm(const LayerRows& rows, const at::Tensor& added, const std::string& norm,
                               Dropout* dropout) const {
  const bool drops = dropout != nullptr && dropout->probability > 0;
  const std::vector<at::Tensor> normed = ops::add_norm(
      rows.wide, added, weight(norm + ".weight"), weight(norm + ".bias"), config_.layer_norm_eps,
      drops ? dropout->probability : 0, drops ? next_seed(dropout->generator) : 0);
  return {normed.front(), normed.back()};
}

at::Tensor Albert::attend(const at::Tensor& rows, const std::vector<int64_t>& lengths,
                          const std::string& layer) const {
  const at::Tensor mixed =
      ops::attention(linear(rows, layer + "attention.query"), linear(rows, layer + "attention.key"),
                     linear(rows, layer + "attention.value"), lengths, config_.head_count);  // [M, D]
  return linear(mixed, layer + "attention.dense");
}

at::Tensor Albert::feed_forward(const at::Tensor& rows, const std::string& layer) const {
  const at::Tensor inner = activate(linear(rows, layer + "ffn"), config_.activation);  // [M, I]
  return linear(inner, layer + "ffn_output");
}

void Albert::check(const TokenPack& pack) const {
  int64_t rows = 0;
  for (int64_t length : pack.lengths) {
    check_argument(length >= 1 && length <= config_.max_position, "lengths",
                   "sequences no longer than the encoder's positions", length);
    rows += length;
  }
  check_argument(static_cast<int64_t>(pack.ids.size()) == rows, "ids", "one id for every row",
                 pack.ids.size());
  check_argument(pack.types.empty() || pack.types.size() == pack.ids.size(), "types",
                 "one type for every row", pack.types.size());
  for (int64_t id : pack.ids) {
    if (id >= 0 && id < config_.vocab_size) continue;
    throw_invalid("ids", "ids in [0, " + std::to_string(config_.vocab_size) + ")", std::to_string(id));
  }
  for (int64_t type : pack.types) {
    if (type >= 0 && type < config_.type_vocab_size) continue;
    throw_invalid("types", "types in [0, " + std::to_string(config_.type_vocab_size) + ")",
                  std::to_string(type));
  }
}

std::vector<at::Tensor> Albert::hidden_states(const TokenPack& tokens, int64_t last, Dropout* dropout) const {
  check(tokens);
  const int64_t M = static_cast<int64_t>(tokens.ids.size());
  const TokenPack filled = config_.precision == Precision::kBFloat16 ? filled_up(tokens) : TokenPack{};
  const TokenPack& pack = filled.ids.empty() ? tokens : filled;
  auto drop = [&](const at::Tensor& rows) { return dropout == nullptr ? rows : (*dropout)(rows); };
  std::vector<at::Tensor> states = {drop(embed(pack))};  // each [M, D]
  LayerRows rows{states.front(), states.front()};
  for (int64_t layer = 0; layer < last; ++layer) {
    const std::string name = layer_prefix(layer * config_.group_count / config_.layer_count);
    const std::string attention_norm = name + "attention.LayerNorm";
    const std::string feed_forward_norm = name + "full_layer_layer_norm";
    if (config_.layer_norm_placement == LayerNormPlacement::kPost) {
      rows = add_and_norm(rows, attend(rows.rounded, pack.lengths, name), attention_norm, dropout);
      rows = add_and_norm(rows, feed_forward(rows.rounded, name), feed_forward_norm, dropout);
    } else {
      at::Tensor& sum = rows.wide;
      sum = sum + drop(attend(layer_norm(sum, attention_norm), pack.lengths, name).to(at::kFloat));
      sum = sum + drop(feed_forward(layer_norm(sum, feed_forward_norm), name).to(at::kFloat));
    }
    states.push_back(rows.wide);
  }
  for (at::Tensor& state : states) state = state.narrow(0, 0, M);
  return states;
}

at::Tensor Albert::encode(const PackedUnits& units, const std::vector<int64_t>& sequences,
                          Dropout* dropout) const {
  // Longest first, so that equal lengths adjoin; `order` says which place of `sequences` each pack position
  // holds.
  auto length = [&](int64_t place) {
    const int64_t sequence = sequences[place];
    return static_cast<int64_t>(units.offsets[sequence + 1]) - units.offsets[sequence];
  };
  std::vector<int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });

  std::vector<int64_t> first_row(sequences.size() + 1, 0);  // of each place in the result
  for (size_t place = 0; place < sequences.size(); ++place)
    first_row[place + 1] = first_row[place] + length(place);

  TokenPack pack;
  std::vector<int64_t> pack_row(first_row.back());  // row of the pack for each row of the result
  for (int64_t place : order) {
    const int64_t count = length(place);
    if (count == 0) break;
    if (count > config_.max_units()) {
      throw_invalid("offsets", "sequences of at most " + std::to_string(config_.max_units()) + " units",
                    std::to_string(count));
    }
    const int32_t* unit = units.ids.data() + units.offsets[sequences[place]];
    pack.ids.push_back(config_.cls_id);
    for (int64_t k = 0; k < count; ++k) {
      pack_row[first_row[place] + k] = static_cast<int64_t>(pack.ids.size());
      pack.ids.push_back(unit[k]);
    }
    pack.ids.push_back(config_.sep_id);
    pack.lengths.push_back(count + 2);
  }
  if (pack.ids.empty()) return at::zeros({0, config_.feature_size()}, weights_.front().second.options());
  const int64_t last = *std::max_element(config_.feature_layers.begin(), config_.feature_layers.end());
  const std::vector<at::Tensor> states = hidden_states(pack, last, dropout);
  const at::Tensor rows = on_device(pack_row, device());
  std::vector<at::Tensor> features;
  for (int64_t layer : config_.feature_layers) features.push_back(states[layer].index_select(0, rows));
  return features.size() == 1 ? features.front() : at::cat(features, 1);  // [N, F]
}

}  // namespace albert_ner::encoder
