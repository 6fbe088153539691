// One optimizer step of the tagger: of its head on stored features, or of head and encoder together.
#pragma once

#include <cstdint>
#include <string>

#include "torch/encoder/albert.h"
#include "torch/features/feature_store.h"
#include "torch/model/head.h"
#include "torch/training/optimizer.h"

namespace albert_ner::training {

struct LearningRates {
  double encoder = 0;
  double bilstm = 0;
  double ngrams = 0;
  double classifier = 0;  // and the mix of layers
  double crf = 0;

  double of(const std::string& parameter) const;
};

/// Gold tags of a batch. Where `open` isn't empty the annotation is partial: a row tagged 0 (O) in sequence b
/// may have any tag k with open[b*K + k] = 1 as well, and the loss sums over all of them.
struct Annotation {
  std::vector<int32_t> tags;  // [N], legal under the head's constraints
  std::vector<uint8_t> open;  // [B*K], or empty
};

/// The tagger's parameters that a fine-tuning optimizer changes: the head's and, of the encoder, those of the
/// top `layers` layers; with all layers the embeddings', too.
NamedParameters tagger_parameters(const encoder::Albert& encoder, const model::Head& head, int64_t layers);

/// Forward, backward, clipping and optimizer step. The loss is the negative log-likelihood in nats, the
/// batch's mean per unit, so a step weighs every character alike whatever the lengths of its sentences. On
/// another device than the CPU the step waits for it once, to read the loss and the gradient's norm.
///
///   batch  features [N, F] float32 with their units
///   seed   of the dropout masks of this step
///
/// Throws kInvalidArgument for a batch without units, tags that don't fit, and a loss or gradient that isn't
/// finite; nothing is changed then.
StepResult train_step(const model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const Annotation& annotation, const LearningRates& rates, uint64_t seed);

/// The same through the encoder. `optimizer` was made of tagger_parameters.
StepResult fine_tune_step(const encoder::Albert& encoder, const model::Head& head, Optimizer& optimizer,
                          const encoder::PackedUnits& units, const Annotation& annotation,
                          const LearningRates& rates, double encoder_dropout, uint64_t seed);

}  // namespace albert_ner::training
