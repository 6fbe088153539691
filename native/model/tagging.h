// From windows of features to tags, spans and their posteriors: inference of the head.
#pragma once

#include <functional>
#include <vector>

#include "model/head.h"
#include "runtime/cancel_token.h"

namespace albert_ner::model {

/// How windows make up CRF sequences. Windows may overlap in the text; each keeps a range of its rows, and
/// the kept rows of all windows in order are the rows of the sequences.
struct WindowPlan {
  std::vector<int64_t> lengths;           // [B] rows of each window
  std::vector<int32_t> keep;              // [B*2] first row kept and number kept; empty: all
  std::vector<int32_t> sequence_offsets;  // [S+1] over kept rows; empty: one sequence per window
};

struct Tagging {
  std::vector<int32_t> tags;                   // [M]
  std::vector<int32_t> spans;                  // [E*4]: sequence, first row, end row, label
  std::vector<double> span_scores;             // [E]
  std::vector<double> path_log_probabilities;  // [S]
};

/// The given windows packed, in that order.
using FeatureSource = std::function<features::PackedFeatures(const std::vector<int64_t>& windows)>;

/// Calls body(windows) for groups of windows of bounded size, longest first; polls `cancellation` before
/// each.
void for_each_batch(const std::vector<int64_t>& lengths, const runtime::Cancellation& cancellation,
                    const std::function<void(const std::vector<int64_t>& windows)>& body);

/// Best legal path of every sequence and the posterior of each of its spans. Throws kInvalidArgument when the
/// plan contradicts itself, kAborted between batches.
Tagging tag_windows(const Head& head, WindowPlan plan, const FeatureSource& source,
                    const runtime::Cancellation& cancellation);

}  // namespace albert_ner::model
