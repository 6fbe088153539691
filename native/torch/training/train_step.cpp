#include "torch/training/train_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "common/check.h"
#include "torch/ops/crf/crf.h"
#include "torch/ops/tagger/tagger.h"
#include "torch/support/on_device.h"
#include "torch/training/gradients.h"

namespace albert_ner::training {
namespace {

/// [N, K] bool: the tags each row may have.
at::Tensor allowed_tags(const Annotation& annotation, const at::Tensor& offsets, int64_t K) {
  const int64_t N = static_cast<int64_t>(annotation.tags.size());
  at::Tensor allowed = at::empty({N, K}, at::kBool);
  bool* values = allowed.mutable_data_ptr<bool>();
  const int32_t* starts = offsets.const_data_ptr<int32_t>();
  for (int64_t b = 0; b + 1 < offsets.numel(); ++b) {
    for (int64_t row = starts[b]; row < starts[b + 1]; ++row) {
      const int32_t tag = annotation.tags[row];
      for (int64_t k = 0; k < K; ++k) {
        values[row * K + k] = k == tag || (tag == 0 && annotation.open[b * K + k] != 0);
      }
    }
  }
  return allowed;
}

/// The tags on a device, where they address memory and nobody can look at them without waiting: checked
/// before.
at::Tensor checked_tags(const std::vector<int32_t>& tags, int64_t K, at::Device device) {
  for (int32_t tag : tags) check_argument(tag >= 0 && tag < K, "tags", "tags of the head", tag);
  return on_device(at::tensor(tags, at::kInt), device);
}

/// Mean loss per unit of emissions [N, K]; the offsets are on the CPU.
at::Tensor mean_nll(const model::Head& head, const at::Tensor& emissions, const at::Tensor& offsets,
                    const Annotation& annotation) {
  const int64_t N = emissions.size(0);
  const int64_t K = emissions.size(1);
  check_argument(static_cast<int64_t>(annotation.tags.size()) == N, "tags", "one tag per unit",
                 annotation.tags.size());
  const model::ConstrainedTransitions crf = head.constrained();
  const at::Tensor starts = on_device(offsets, head.device());
  at::Tensor nll;  // [B]
  if (annotation.open.empty()) {
    const at::Tensor tags = checked_tags(annotation.tags, K, head.device());  // [N]
    nll = ops::crf_nll(emissions, tags, starts, crf.transitions, crf.start, crf.end);
  } else {
    const size_t expected = static_cast<size_t>((offsets.numel() - 1) * K);
    check_argument(annotation.open.size() == expected, "open", "a flag per sequence and tag",
                   annotation.open.size());
    const at::Tensor allowed = on_device(allowed_tags(annotation, offsets, K), head.device());  // [N, K]
    nll = ops::crf_partial_nll(emissions, allowed, starts, crf.transitions, crf.start, crf.end);
  }
  return nll.sum() / static_cast<double>(N);
}

StepResult descend(const GradientScope& scope, Optimizer& optimizer, const at::Tensor& loss,
                   const LearningRates& rates) {
  return optimizer.step(loss, scope.gradients(loss), [&](const std::string& name) { return rates.of(name); });
}

/// Tensors of these shapes, the same ones in every step of this thread: it trains one head at a time.
const std::vector<at::Tensor>& gradient_room(const std::vector<at::Tensor>& parameters) {
  static thread_local std::vector<at::Tensor> room;
  room.resize(parameters.size());
  for (size_t k = 0; k < parameters.size(); ++k) {
    if (!room[k].defined() || room[k].sizes() != parameters[k].sizes())
      room[k] = at::empty_like(parameters[k]);
  }
  return room;
}

/// Loss and gradients of the head in one operator, without a graph.
StepResult fused_step(const model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const Annotation& annotation, const LearningRates& rates, uint64_t seed) {
  std::vector<at::Tensor> tensors;
  for (const auto& entry : head.parameters()) tensors.push_back(entry.second);
  const model::ConstrainedTransitions crf = head.constrained();
  std::copy_n(std::array{crf.transitions, crf.start, crf.end}.begin(), 3, tensors.end() - 3);
  const at::Tensor tags = at::tensor(annotation.tags, at::kInt);
  const std::vector<at::Tensor>& gradients = gradient_room(tensors);
  const double loss = ops::tagger_loss(
      {batch.rows, batch.offsets, tags, tensors, head.config().dropout, static_cast<int64_t>(seed)},
      gradients, {});
  return optimizer.step(at::scalar_tensor(loss, at::kDouble), gradients,
                        [&](const std::string& name) { return rates.of(name); });
}

bool starts_with(const std::string& text, const char* prefix) {
  return text.rfind(prefix, 0) == 0;
}

}  // namespace

double LearningRates::of(const std::string& parameter) const {
  if (starts_with(parameter, "bilstm.")) return bilstm;
  if (starts_with(parameter, "ngrams.")) return ngrams;
  if (starts_with(parameter, "crf.")) return crf;
  if (starts_with(parameter, "classifier.") || starts_with(parameter, "mix.")) return classifier;
  return encoder;
}

NamedParameters tagger_parameters(const encoder::Albert& encoder, const model::Head& head, int64_t layers) {
  const encoder::AlbertConfig& config = encoder.config();
  std::set<std::string> groups;
  for (int64_t layer = std::max<int64_t>(config.layer_count - layers, 0); layer < config.layer_count; ++layer)
    groups.insert(encoder::layer_prefix(layer * config.group_count / config.layer_count));
  NamedParameters parameters;
  for (const auto& entry : encoder.weights()) {
    bool trained = layers >= config.layer_count;
    for (const std::string& group : groups) trained = trained || starts_with(entry.first, group.c_str());
    if (trained) parameters.push_back(entry);
  }
  parameters.insert(parameters.end(), head.parameters().begin(), head.parameters().end());
  return parameters;
}

StepResult train_step(const model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const Annotation& annotation, const LearningRates& rates, uint64_t seed) {
  check_argument(batch.rows.size(0) > 0, "sequences", "at least one unit", batch.rows.size(0));
  const model::HeadConfig& config = head.config();
  const bool plain = annotation.open.empty() && config.mixed_layers == 1 && config.ngram_width == 0;
  if (plain && head.device().is_cpu()) {
    return fused_step(head, optimizer, batch, annotation, rates, seed);
  }
  const GradientScope scope(optimizer.parameters());
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor emissions = head.emissions(batch, &generator);  // [N, K]
  return descend(scope, optimizer, mean_nll(head, emissions, batch.offsets, annotation), rates);
}

StepResult fine_tune_step(const encoder::Albert& encoder, const model::Head& head, Optimizer& optimizer,
                          const encoder::PackedUnits& units, const Annotation& annotation,
                          const LearningRates& rates, double encoder_dropout, uint64_t seed) {
  check_argument(!units.ids.empty(), "ids", "at least one unit", units.ids.size());
  const GradientScope scope(optimizer.parameters());
  encoder::Dropout dropout{encoder_dropout, at::detail::createCPUGenerator(seed)};
  std::vector<int64_t> all(static_cast<size_t>(units.sequence_count()));
  std::iota(all.begin(), all.end(), 0);
  const features::PackedFeatures pack{encoder.encode(units, all, &dropout), units.ids,
                                      at::tensor(units.offsets, at::kInt)};
  const at::Tensor emissions = head.emissions(pack, &dropout.generator);  // [N, K]
  return descend(scope, optimizer, mean_nll(head, emissions, pack.offsets, annotation), rates);
}

}  // namespace albert_ner::training
