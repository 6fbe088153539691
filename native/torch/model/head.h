// The trainable head: BiLSTM, linear layer and CRF with the constraints of the tag scheme. It lives where the
// encoder runs if its operators have kernels there, else on the CPU, and takes features from anywhere.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/head_config.h"
#include "torch/features/feature_store.h"
#include "torch/ops/bilstm/bilstm.h"

namespace albert_ner::model {

using namespace engine;

/// The CRF's scores with forbidden moves at -infinity.
struct ConstrainedTransitions {
  at::Tensor transitions;  // [K, K]
  at::Tensor start;        // [K]
  at::Tensor end;          // [K]
};

/// Where the head of an encoder on `device` lives: there, if this build has the operators' kernels for it,
/// else on the CPU.
at::Device head_device(at::Device device);

class Head {
 public:
  /// Random weights: the BiLSTM and the linear layer as torch.nn initialises them, the CRF uniform in (-0.1,
  /// 0.1). Equal for equal seeds on every device.
  Head(HeadConfig config, uint64_t seed, at::Device device);
  Head(HeadConfig config, const TensorFile& file, at::Device device);

  const HeadConfig& config() const { return config_; }
  /// Of the parameters and of everything computed.
  at::Device device() const { return parameters_.front().second.device(); }
  /// Names and tensors in a fixed order: bilstm.*, classifier.*, crf.*, mix.* if layers are mixed, and
  /// ngrams.weight [R+1, W] if there are n-grams; its first row is for those that have none.
  const std::vector<std::pair<std::string, at::Tensor>>& parameters() const { return parameters_; }
  /// ngrams.weight. Throws kInvalidArgument for a head without n-grams.
  at::Tensor ngram_table() const;
  /// [K] int32: the tag that prolongs a span ending in tag k, -1 for none.
  const at::Tensor& continuation() const { return continuation_; }

  /// Emissions of a pack with rows [N, M*D], [N, K]. With a generator, of the CPU, dropout is applied, drawn
  /// from it. Nothing waits for the head's device.
  at::Tensor emissions(const features::PackedFeatures& pack, at::Generator* dropout) const;
  ConstrainedTransitions constrained() const;

 private:
  Head(HeadConfig config, std::vector<std::pair<std::string, at::Tensor>> parameters, at::Device device);
  const at::Tensor& parameter(size_t index) const { return parameters_[index].second; }
  /// [N, M*D] to [N, D]: scale * sum of softmax(weights)[m] * state m. Source: Peters et al. 2018,
  /// section 3.2.
  at::Tensor mix(const at::Tensor& features) const;
  /// What the BiLSTM reads: the mix and, beside it, the rows of the n-grams of every unit. [N, D + slots*W]
  at::Tensor inputs(const features::PackedFeatures& pack, at::Generator* dropout) const;
  at::Tensor drop(const at::Tensor& rows, at::Generator* dropout) const;

  HeadConfig config_;
  std::vector<std::pair<std::string, at::Tensor>> parameters_;
  at::Tensor forbidden_transitions_;  // [K, K] bool
  at::Tensor forbidden_starts_;       // [K] bool
  at::Tensor forbidden_ends_;         // [K] bool
  at::Tensor continuation_;           // [K] int32
};

}  // namespace albert_ner::model
