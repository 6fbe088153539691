// The ALBERT encoder through libtorch: weights, and its forward pass up to the second-to-last layer.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/albert_config.h"

namespace albert_ner::encoder {

using namespace engine;

/// Tensors under their canonical names (Hugging Face AlbertModel without prefix; word_embeddings_2 for
/// bright).
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Weights of these names and shapes drawn from N(0, deviation); biases 0, scales of layer norms 1. Equal for
/// equal seeds.
NamedTensors random_weights(const std::vector<NameAndShape>& shapes, double deviation, uint64_t seed,
                            at::Device device);

at::Tensor activate(const at::Tensor& rows, Activation activation);

/// Products in bfloat16 are compiled for each number of rows, which takes longer than to run them; so numbers
/// of rows are rounded up to multiples of this.
constexpr int64_t kBFloat16Rows = 128;

/// rows * weight^T + bias, computed in this precision, which its result has.
at::Tensor linear_in(Precision precision, const at::Tensor& rows, const at::Tensor& weight,
                     const at::Tensor& bias);

/// Rows as the embedding layer takes them, special tokens included: sequences one after the other, those of
/// equal length side by side where that costs nothing, since attention runs once per stretch of equal
/// lengths.
struct TokenPack {
  std::vector<int64_t> ids;      // [M]
  std::vector<int64_t> types;    // [M], or empty when all are of type 0
  std::vector<int64_t> lengths;  // [B], sum M
};

/// Factors of dropout as ops::dropout_factors has them, with a seed drawn from the generator.
at::Tensor dropout_mask(at::IntArrayRef shape, double probability, at::Generator& generator);

/// Zeroes elements with a probability and scales the others up, in training.
struct Dropout {
  double probability = 0;
  at::Generator generator;

  at::Tensor operator()(const at::Tensor& rows);
};

/// Rows between sublayers: in float32 and as the products that follow read them. Before the first sum, and
/// where norms come first, both are the same.
struct LayerRows {
  at::Tensor wide;
  at::Tensor rounded;
};

class Albert {
 public:
  /// `weights` in the order of weight_shapes, on one device.
  Albert(AlbertConfig config, NamedTensors weights);

  static Albert random(const AlbertConfig& config, uint64_t seed, at::Device device);

  const AlbertConfig& config() const { return config_; }
  const NamedTensors& weights() const { return weights_; }
  at::Device device() const;
  /// By its canonical name, which the config must have.
  const at::Tensor& weight(const std::string& name) const { return by_name_.at(name); }
  /// [V, E]
  const at::Tensor& word_embeddings() const { return weight("embeddings.word_embeddings.weight"); }

  /// Features of packed units, without the rows of [CLS] and [SEP]. Layers above the highest feature layer
  /// and the pooler are never computed, nor any padding.
  ///
  ///   sequences  sequence numbers of `units` to encode
  ///   dropout    applied to the embeddings and to what every sublayer adds; null: none
  ///   returns    [sum of their lengths, F] float32 on the encoder's device, in the order of `sequences`
  ///
  /// A row depends on its own sequence only, up to float rounding. Differentiable in the weights. Throws
  /// kInvalidArgument for an id outside the vocabulary and a sequence longer than max_units.
  at::Tensor encode(const PackedUnits& units, const std::vector<int64_t>& sequences,
                    Dropout* dropout = nullptr) const;

  /// Hidden states 0 to `last`, each [M, D] float32 on the encoder's device; differentiable in the weights.
  /// Throws kInvalidArgument for ids and types outside their tables and lengths beyond the positions.
  std::vector<at::Tensor> hidden_states(const TokenPack& tokens, int64_t last,
                                        Dropout* dropout = nullptr) const;

 private:
  /// In the config's precision, which its result has.
  at::Tensor linear(const at::Tensor& rows, const std::string& name) const;
  at::Tensor layer_norm(const at::Tensor& rows, const std::string& name) const;
  /// The pack with sequences nobody reads behind it, up to a multiple of kBFloat16Rows.
  TokenPack filled_up(TokenPack pack) const;
  at::Tensor embed(const TokenPack& pack) const;
  void check(const TokenPack& pack) const;
  /// Of a sublayer's result, which has the config's precision.
  LayerRows add_and_norm(const LayerRows& rows, const at::Tensor& added, const std::string& norm,
                         Dropout* dropout) const;
  at::Tensor attend(const at::Tensor& rows, const std::vector<int64_t>& lengths,
                    const std::string& layer) const;
  at::Tensor feed_forward(const at::Tensor& rows, const std::string& layer) const;

  AlbertConfig config_;
  NamedTensors weights_;
  std::map<std::string, at::Tensor> by_name_;
};

}  // namespace albert_ner::encoder
