#include "torch/model/head.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>

#include "common/check.h"
#include "engine/ngrams.h"
#include "torch/encoder/albert.h"
#include "torch/model/checkpoint.h"
#include "torch/support/on_device.h"

namespace albert_ner::model {
namespace {

/// Places of the parameters in their fixed order.
enum ParameterIndex : size_t {
  kWeightIh,
  kWeightHh,
  kBiasIh,
  kBiasHh,
  kWeightIhReverse,
  kWeightHhReverse,
  kBiasIhReverse,
  kBiasHhReverse,
  kClassifierWeight,
  kClassifierBias,
  kTransitions,
  kStartTransitions,
  kEndTransitions,
  kMixWeights,
  kMixScale,
};

std::vector<std::pair<std::string, at::Tensor>> random_parameters(const HeadConfig& config, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const auto& [name, shape] : parameter_shapes(config)) {
    double bound = 0.1;  // crf and n-grams
    if (name.rfind("bilstm", 0) == 0) bound = 1 / std::sqrt(static_cast<double>(config.hidden_size));
    if (name.rfind("classifier", 0) == 0) bound = 1 / std::sqrt(static_cast<double>(2 * config.hidden_size));
    const bool mix = name.rfind("mix", 0) == 0;  // starts as the plain mean
    parameters.emplace_back(name, mix ? at::full(shape, name == "mix.scale" ? 1 : 0, at::kFloat)
                                      : at::empty(shape).uniform_(-bound, bound, generator));
  }
  return parameters;
}

at::Tensor forbidden(const std::vector<uint8_t>& allowed, at::IntArrayRef shape) {
  at::Tensor mask = at::empty(shape, at::kBool);
  bool* values = mask.mutable_data_ptr<bool>();
  for (size_t k = 0; k < allowed.size(); ++k) values[k] = allowed[k] == 0;
  return mask;
}

}  // namespace

at::Device head_device(at::Device device) {
  const c10::DispatchKey key = c10::computeDispatchKey(std::nullopt, std::nullopt, device);
  for (const char* name : {"albert_ner::_bilstm_forward", "albert_ner::_crf_nll_forward"}) {
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
    if (!op.hasKernelForDispatchKey(key)) return at::kCPU;
  }
  return device;
}

Head::Head(HeadConfig config, std::vector<std::pair<std::string, at::Tensor>> parameters, at::Device device)
    : config_(std::move(config)), parameters_(std::move(parameters)) {
  const int64_t K = config_.tag_count;
  for (auto& entry : parameters_) entry.second = on_device(entry.second, device);
  forbidden_transitions_ = on_device(forbidden(config_.allowed_transitions, {K, K}), device);
  forbidden_starts_ = on_device(forbidden(config_.allowed_starts, {K}), device);
  forbidden_ends_ = on_device(forbidden(config_.allowed_ends, {K}), device);
  continuation_ = on_device(at::tensor(continuation_table(config_), at::kInt), device);
}

Head::Head(HeadConfig config, uint64_t seed, at::Device device)
    : Head(config, random_parameters(config, seed), device) {}

Head::Head(HeadConfig config, const TensorFile& file, at::Device device)
    : Head(config, read_tensors(file, parameter_shapes(config)), device) {}

at::Tensor Head::drop(const at::Tensor& rows, at::Generator* dropout) const {
  if (dropout == nullptr || config_.dropout == 0) return rows;
  return rows * on_device(encoder::dropout_mask(rows.sizes(), config_.dropout, *dropout), device());
}

at::Tensor Head::mix(const at::Tensor& features) const {
  const at::Tensor wide = features.to(at::kFloat);
  if (config_.mixed_layers == 1) return wide;
  const int64_t M = config_.mixed_layers;
  const at::Tensor weights = parameter(kMixWeights).softmax(0) * parameter(kMixScale);  // [M]
  return at::matmul(weights, wide.view({wide.size(0), M, config_.feature_size}));       // [N, D]
}

at::Tensor Head::ngram_table() const {
  check_argument(config_.ngram_width > 0, "ngramWidth", "a head with n-grams", config_.ngram_width);
  return parameters_.back().second;
}

at::Tensor Head::inputs(const features::PackedFeatures& pack, at::Generator* dropout) const {
  const at::Tensor mixed = mix(on_device(pack.rows, device()));  // [N, D]
  if (config_.ngram_width == 0) return mixed;
  const int64_t N = mixed.size(0);
  check_argument(static_cast<int64_t>(pack.ids.size()) == N, "ids", "an id for every row", pack.ids.size());
  const int32_t* starts = pack.offsets.const_data_ptr<int32_t>();
  const std::vector<int32_t> offsets(starts, starts + pack.offsets.numel());
  at::Tensor rows = at::tensor(ngram_rows(pack.ids, offsets, config_.ngram_keys), at::kLong)
                        .view({N, kNgramSlots});  // [N, slots]
  if (dropout != nullptr && config_.ngram_dropout > 0) {
    rows.masked_fill_(at::rand(rows.sizes(), *dropout, at::kFloat) < config_.ngram_dropout, 0);
  }
  const at::Tensor ngrams = at::embedding(ngram_table(), on_device(rows, device()));  // [N, slots, W]
  return at::cat({mixed, ngrams.view({N, kNgramSlots * config_.ngram_width})}, 1);
}

at::Tensor Head::emissions(const features::PackedFeatures& pack, at::Generator* dropout) const {
  const ops::LstmWeights forward{parameter(kWeightIh), parameter(kWeightHh), parameter(kBiasIh),
                                 parameter(kBiasHh)};
  const ops::LstmWeights reverse{parameter(kWeightIhReverse), parameter(kWeightHhReverse),
                                 parameter(kBiasIhReverse), parameter(kBiasHhReverse)};
  const at::Tensor hidden = ops::bilstm(drop(inputs(pack, dropout), dropout),
                                        on_device(pack.offsets, device()), forward, reverse);  // [N, 2H]
  return at::linear(drop(hidden, dropout), parameter(kClassifierWeight), parameter(kClassifierBias));
}

ConstrainedTransitions Head::constrained() const {
  const double never = -std::numeric_limits<double>::infinity();
  return {parameter(kTransitions).masked_fill(forbidden_transitions_, never),
          parameter(kStartTransitions).masked_fill(forbidden_starts_, never),
          parameter(kEndTransitions).masked_fill(forbidden_ends_, never)};
}

}  // namespace albert_ner::model
