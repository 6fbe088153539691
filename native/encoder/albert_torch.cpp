// The encoder through libtorch: any device, differentiable. Linear layers see all rows of the pack at once;
// attention runs once per run of equally long sequences, so nothing is padded and nothing masked.

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
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "common/check.h"
#include "encoder/albert.h"

namespace albert_ner::encoder {
namespace {

constexpr double kInitialDeviation = 0.02;

std::string layer_prefix(int64_t group) {
  return "encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers.0.";
}

bool ends_with(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

at::Tensor to_device(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

}  // namespace

std::vector<std::pair<std::string, std::vector<int64_t>>> weight_shapes(const AlbertConfig& config) {
  const int64_t V = config.vocab_size;
  const int64_t E = config.embedding_size;
  const int64_t D = config.hidden_size;
  const int64_t I = config.intermediate_size;
  const bool google = config.layout == Layout::kGoogle;
  const int64_t width = google ? E : D;
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes = {
      {"embeddings.word_embeddings.weight", {V, E}},
      {"embeddings.position_embeddings.weight", {config.max_position, width}},
      {"embeddings.token_type_embeddings.weight", {config.type_vocab_size, width}},
      {"embeddings.LayerNorm.weight", {width}},
      {"embeddings.LayerNorm.bias", {width}},
  };
  if (google) {
    shapes.push_back({"encoder.embedding_hidden_mapping_in.weight", {D, E}});
    shapes.push_back({"encoder.embedding_hidden_mapping_in.bias", {D}});
  } else {
    shapes.push_back({"embeddings.word_embeddings_2.weight", {D, E}});
  }
  for (int64_t group = 0; group < config.group_count; ++group) {
    const std::string layer = layer_prefix(group);
    for (const char* part : {"query", "key", "value", "dense"}) {
      shapes.push_back({layer + "attention." + part + ".weight", {D, D}});
      shapes.push_back({layer + "attention." + part + ".bias", {D}});
    }
    shapes.push_back({layer + "attention.LayerNorm.weight", {D}});
    shapes.push_back({layer + "attention.LayerNorm.bias", {D}});
    shapes.push_back({layer + "ffn.weight", {I, D}});
    shapes.push_back({layer + "ffn.bias", {I}});
    shapes.push_back({layer + "ffn_output.weight", {D, I}});
    shapes.push_back({layer + "ffn_output.bias", {D}});
    shapes.push_back({layer + "full_layer_layer_norm.weight", {D}});
    shapes.push_back({layer + "full_layer_layer_norm.bias", {D}});
  }
  return shapes;
}

Albert::Albert(AlbertConfig config, NamedTensors weights) : config_(config), weights_(std::move(weights)) {
  by_name_.insert(weights_.begin(), weights_.end());
}

Albert Albert::random(const AlbertConfig& config, uint64_t seed, at::Device device) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  NamedTensors weights;
  for (const auto& [name, shape] : weight_shapes(config)) {
    const bool norm =
        name.find("LayerNorm") != std::string::npos || name.find("layer_norm") != std::string::npos;
    at::Tensor tensor;
    if (ends_with(name, ".bias")) {
      tensor = at::zeros(shape);
    } else if (norm) {
      tensor = at::ones(shape);
    } else {
      tensor = at::empty(shape).normal_(0, kInitialDeviation, generator);
    }
    weights.emplace_back(name, tensor.to(device));
  }
  return Albert(config, std::move(weights));
}

at::Device Albert::device() const {
  return weights_.front().second.device();
}

at::Tensor Albert::linear(const at::Tensor& rows, const std::string& name) const {
  return at::linear(rows, weight(name + ".weight"), weight(name + ".bias"));
}

at::Tensor Albert::layer_norm(const at::Tensor& rows, const std::string& name) const {
  const at::Tensor& scale = weight(name + ".weight");
  return at::layer_norm(rows, scale.sizes(), scale, weight(name + ".bias"), config_.layer_norm_eps);
}

at::Tensor Albert::embed(const at::Tensor& ids, const at::Tensor& positions) const {
  at::Tensor words = at::embedding(weight("embeddings.word_embeddings.weight"), ids);  // [M, E]
  const at::Tensor places = at::embedding(weight("embeddings.position_embeddings.weight"), positions);
  const at::Tensor type = weight("embeddings.token_type_embeddings.weight").select(0, 0);
  if (config_.layout == Layout::kBright) {
    words = at::linear(words, weight("embeddings.word_embeddings_2.weight"));  // [M, D]
    return layer_norm(words + type + places, "embeddings.LayerNorm");
  }
  return linear(layer_norm(words + type + places, "embeddings.LayerNorm"),
                "encoder.embedding_hidden_mapping_in");
}

at::Tensor Albert::attend(const at::Tensor& rows, const std::vector<int64_t>& lengths,
                          const std::string& layer) const {
  const int64_t heads = config_.head_count;
  const int64_t width = config_.hidden_size / heads;
  const at::Tensor query = linear(rows, layer + "attention.query");  // [M, D]
  const at::Tensor key = linear(rows, layer + "attention.key");
  const at::Tensor value = linear(rows, layer + "attention.value");
  std::vector<at::Tensor> parts;
  int64_t row = 0;
  for (size_t first = 0; first < lengths.size();) {
    const int64_t T = lengths[first];
    size_t last = first;
    while (last < lengths.size() && lengths[last] == T) ++last;
    const int64_t count = static_cast<int64_t>(last - first);
    auto split = [&](const at::Tensor& all) {
      return all.narrow(0, row, count * T)
          .view({count, T, heads, width})
          .transpose(1, 2);  // [n, heads, T, width]
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(split(query), split(key), split(value));
    parts.push_back(mixed.transpose(1, 2).reshape({count * T, config_.hidden_size}));
    row += count * T;
    first = last;
  }
  return linear(parts.size() == 1 ? parts.front() : at::cat(parts), layer + "attention.dense");
}

at::Tensor Albert::feed_forward(const at::Tensor& rows, const std::string& layer) const {
  at::Tensor inner = linear(rows, layer + "ffn");  // [M, I]
  switch (config_.activation) {
    case Activation::kGeluErf:
      inner = at::gelu(inner);
      break;
    case Activation::kGeluTanh:
      inner = at::gelu(inner, "tanh");
      break;
    case Activation::kRelu:
      inner = at::relu(inner);
      break;
    case Activation::kSilu:
      inner = at::silu(inner);
      break;
  }
  return linear(inner, layer + "ffn_output");
}

at::Tensor Albert::encode(const PackedUnits& units, const std::vector<int64_t>& sequences) const {
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

  std::vector<int64_t> ids;                         // [M], with [CLS] and [SEP]
  std::vector<int64_t> positions;                   // [M]
  std::vector<int64_t> lengths;                     // of the non-empty sequences, special tokens included
  std::vector<int64_t> pack_row(first_row.back());  // row of the pack for each row of the result
  for (int64_t place : order) {
    const int64_t count = length(place);
    if (count == 0) break;
    check_argument(count <= config_.max_units(), "offsets",
                   "sequences of at most " + std::to_string(config_.max_units()) + " units", count);
    const int32_t* unit = units.ids.data() + units.offsets[sequences[place]];
    ids.push_back(config_.cls_id);
    for (int64_t k = 0; k < count; ++k) {
      check_argument(unit[k] >= 0 && unit[k] < config_.vocab_size, "ids",
                     "ids in [0, " + std::to_string(config_.vocab_size) + ")", unit[k]);
      pack_row[first_row[place] + k] = static_cast<int64_t>(ids.size());
      ids.push_back(unit[k]);
    }
    ids.push_back(config_.sep_id);
    for (int64_t position = 0; position < count + 2; ++position) positions.push_back(position);
    lengths.push_back(count + 2);
  }
  if (ids.empty()) return at::zeros({0, config_.hidden_size}, weights_.front().second.options());

  at::Tensor rows = embed(to_device(ids, device()), to_device(positions, device()));  // [M, D]
  for (int64_t layer = 0; layer + 1 < config_.layer_count; ++layer) {
    const std::string name = layer_prefix(layer * config_.group_count / config_.layer_count);
    if (config_.layer_norm_placement == LayerNormPlacement::kPost) {
      rows = layer_norm(rows + attend(rows, lengths, name), name + "attention.LayerNorm");
      rows = layer_norm(rows + feed_forward(rows, name), name + "full_layer_layer_norm");
    } else {
      rows = rows + attend(layer_norm(rows, name + "attention.LayerNorm"), lengths, name);
      rows = rows + feed_forward(layer_norm(rows, name + "full_layer_layer_norm"), name);
    }
  }
  return rows.index_select(0, to_device(pack_row, device()));
}

}  // namespace albert_ner::encoder
