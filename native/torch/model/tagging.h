// From windows of features to tags, spans and their posteriors: inference of the head through libtorch.
#pragma once

#include <functional>
#include <vector>

#include "engine/tagging.h"
#include "torch/model/head.h"

namespace albert_ner::model {

/// The given windows packed, in that order.
using FeatureSource = std::function<features::PackedFeatures(const std::vector<int64_t>& windows)>;

/// Best legal path of every sequence and the posterior of each of its spans. Throws kInvalidArgument when the
/// plan contradicts itself, kAborted between batches.
Tagging tag_windows(const Head& head, WindowPlan plan, const FeatureSource& source,
                    const runtime::Cancellation& cancellation);

}  // namespace albert_ner::model
