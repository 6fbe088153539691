// What tagging windows of text is, whoever computes the emissions: plans, batches, spans.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/head_config.h"
#include "runtime/cancel_token.h"

namespace albert_ner::engine {

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

/// Fills in the plan's defaults. Throws kInvalidArgument when the plan, which says what memory is touched,
/// contradicts itself.
void complete(WindowPlan& plan);

/// Calls body(windows) for groups of windows of bounded size, longest first; polls `cancellation` before
/// each.
void for_each_batch(const std::vector<int64_t>& lengths, const runtime::Cancellation& cancellation,
                    const std::function<void(const std::vector<int64_t>& windows)>& body);

/// Rows of windows that were computed side by side and are kept, and their places among the kept rows of all.
struct KeptRows {
  std::vector<int64_t> from;
  std::vector<int64_t> to;
};
KeptRows kept_rows(const WindowPlan& plan, const std::vector<int64_t>& windows,
                   const std::vector<int64_t>& first_kept);

/// [B+1]: number of kept rows before each window.
std::vector<int64_t> first_kept_rows(const WindowPlan& plan);

/// The spans of legal paths, as Tagging::spans: a span opens with a begin or single tag and goes on through
/// inside and end tags.
std::vector<int32_t> find_spans(const HeadConfig& config, const int32_t* tags,
                                const std::vector<int32_t>& sequence_offsets);

/// First and end row among all kept rows of each span, [E*2].
std::vector<int32_t> span_rows(const std::vector<int32_t>& spans,
                               const std::vector<int32_t>& sequence_offsets);

/// Throws kInvalidArgument when a sequence's path has no finite probability.
void check_paths(const std::vector<double>& path_log_probabilities);

}  // namespace albert_ner::engine
