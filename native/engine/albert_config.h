// The ALBERT encoder's shape, and the names and shapes of its weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor_file.h"

namespace albert_ner::engine {

/// Where position and type embeddings are added: google in the embedding width, before the projection to the
/// hidden width; bright in the hidden width, after it. Weights of one don't fit the other.
enum class Layout { kGoogle, kBright };
enum class Activation { kGeluErf, kGeluTanh, kRelu, kSilu };
enum class LayerNormPlacement { kPost, kPre };
/// Of matrix products, activations inside them and attention; sums between sublayers, layer norms and weights
/// are float32 always.
enum class Precision { kFloat32, kBFloat16 };

struct AlbertConfig {
  Layout layout = Layout::kGoogle;
  int64_t vocab_size = 0;
  int64_t embedding_size = 0;
  int64_t hidden_size = 0;
  int64_t layer_count = 0;
  int64_t group_count = 1;
  int64_t head_count = 0;
  int64_t intermediate_size = 0;
  Activation activation = Activation::kGeluErf;
  LayerNormPlacement layer_norm_placement = LayerNormPlacement::kPost;
  double layer_norm_eps = 1e-12;
  double initializer_range = 0.02;  // standard deviation of random weights
  int64_t max_position = 0;
  int64_t type_vocab_size = 0;
  Precision precision = Precision::kFloat32;
  int64_t cls_id = 0;
  int64_t sep_id = 0;
  /// Hidden states that make the features, side by side: 0 the embeddings, k the output of layer k.
  std::vector<int64_t> feature_layers;

  /// F: width of the features.
  int64_t feature_size() const { return hidden_size * static_cast<int64_t>(feature_layers.size()); }
  /// Longest sequence in units: two positions belong to [CLS] and [SEP].
  int64_t max_units() const { return max_position - 2; }
};

/// What the names of the weights of a group of layers start with.
std::string layer_prefix(int64_t group);

/// Names and shapes an encoder of this config needs, in a fixed order.
std::vector<NameAndShape> weight_shapes(const AlbertConfig& config);

/// Packed units on the host. N = ids.size(), offsets [B+1].
struct PackedUnits {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets;

  int64_t sequence_count() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

}  // namespace albert_ner::engine
