// One optimizer step on one batch of stored features.
#pragma once

#include <cstdint>
#include <string>

#include "features/feature_store.h"
#include "model/head.h"
#include "training/optimizer.h"

namespace albert_ner::training {

struct LearningRates {
  double bilstm = 0;
  double classifier = 0;
  double crf = 0;

  double of(const std::string& parameter) const;
};

struct StepResult {
  double loss;           // negative log-likelihood in nats, mean per unit
  double gradient_norm;  // before clipping
};

/// Forward, backward, clipping and optimizer step. The loss is the batch's mean per unit, so a step weighs
/// every character alike whatever the lengths of its sentences.
///
///   batch  features [N, D] float32 and offsets [B+1]
///   tags   [N] int32, legal under the head's constraints
///   seed   of the dropout masks of this step
///
/// Throws kInvalidArgument for a batch without units, tags that don't fit, and a loss or gradient that isn't
/// finite; nothing is changed then.
StepResult train_step(model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const at::Tensor& tags, const LearningRates& rates, uint64_t seed);

}  // namespace albert_ner::training
