#include "engine/tagging.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "common/check.h"

namespace albert_ner::engine {
namespace {

/// Rows per pass through encoder and BiLSTM. A batch fills the matrix kernels from a few hundred rows on, and
/// at 2,048 the widest intermediate of a base encoder (24 MB) still fits the last-level cache.
constexpr int64_t kRowsPerBatch = 2048;

}  // namespace

void complete(WindowPlan& plan) {
  const size_t B = plan.lengths.size();
  if (plan.keep.empty()) {
    for (int64_t length : plan.lengths) {
      plan.keep.push_back(0);
      plan.keep.push_back(static_cast<int32_t>(length));
    }
  }
  check_argument(plan.keep.size() == 2 * B, "keep", std::to_string(2 * B) + " values", plan.keep.size());
  int64_t kept = 0;
  for (size_t b = 0; b < B; ++b) {
    const int64_t first = plan.keep[2 * b];
    const int64_t count = plan.keep[2 * b + 1];
    check_argument(first >= 0 && count >= 0 && first + count <= plan.lengths[b], "keep", "rows of the window",
                   std::to_string(first) + "+" + std::to_string(count));
    kept += count;
  }
  if (plan.sequence_offsets.empty()) {
    plan.sequence_offsets.push_back(0);
    for (size_t b = 0; b < B; ++b)
      plan.sequence_offsets.push_back(plan.sequence_offsets[b] + plan.keep[2 * b + 1]);
  }
  check_argument(plan.sequence_offsets.front() == 0 &&
                     std::is_sorted(plan.sequence_offsets.begin(), plan.sequence_offsets.end()),
                 "sequenceOffsets", "values from 0 on that never fall", plan.sequence_offsets.front());
  check_argument(plan.sequence_offsets.back() == kept, "sequenceOffsets", "an end of " + std::to_string(kept),
                 plan.sequence_offsets.back());
}

void for_each_batch(const std::vector<int64_t>& lengths, const runtime::Cancellation& cancellation,
                    const std::function<void(const std::vector<int64_t>& windows)>& body) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  std::vector<int64_t> batch;
  int64_t rows = 0;
  for (int64_t window : order) {
    if (!batch.empty() && rows + lengths[window] > kRowsPerBatch) {
      cancellation.poll();
      body(batch);
      batch.clear();
      rows = 0;
    }
    batch.push_back(window);
    rows += lengths[window];
  }
  cancellation.poll();
  if (!batch.empty()) body(batch);
}

std::vector<int64_t> first_kept_rows(const WindowPlan& plan) {
  std::vector<int64_t> first_kept(plan.lengths.size() + 1, 0);
  for (size_t b = 0; b < plan.lengths.size(); ++b) first_kept[b + 1] = first_kept[b] + plan.keep[2 * b + 1];
  return first_kept;
}

KeptRows kept_rows(const WindowPlan& plan, const std::vector<int64_t>& windows,
                   const std::vector<int64_t>& first_kept) {
  KeptRows rows;
  int64_t row = 0;
  for (int64_t window : windows) {
    for (int64_t k = 0; k < plan.keep[2 * window + 1]; ++k) {
      rows.from.push_back(row + plan.keep[2 * window] + k);
      rows.to.push_back(first_kept[window] + k);
    }
    row += plan.lengths[window];
  }
  return rows;
}

std::vector<int32_t> find_spans(const HeadConfig& config, const int32_t* tags,
                                const std::vector<int32_t>& sequence_offsets) {
  std::vector<int32_t> spans;
  auto role = [&](int32_t row) { return config.tag_roles[tags[row]]; };
  for (size_t s = 0; s + 1 < sequence_offsets.size(); ++s) {
    const int32_t begin = sequence_offsets[s];
    const int32_t end = sequence_offsets[s + 1];
    for (int32_t row = begin; row < end;) {
      if (role(row) == TagRole::kOutside) {
        ++row;
        continue;
      }
      const int32_t first = row++;
      while (row < end && (role(row) == TagRole::kInside || role(row) == TagRole::kEnd)) ++row;
      spans.insert(spans.end(),
                   {static_cast<int32_t>(s), first - begin, row - begin, config.tag_labels[tags[first]]});
    }
  }
  return spans;
}

std::vector<int32_t> span_rows(const std::vector<int32_t>& spans,
                               const std::vector<int32_t>& sequence_offsets) {
  std::vector<int32_t> rows;
  for (size_t e = 0; e < spans.size(); e += 4) {
    const int32_t begin = sequence_offsets[spans[e]];
    rows.push_back(begin + spans[e + 1]);
    rows.push_back(begin + spans[e + 2]);
  }
  return rows;
}

void check_paths(const std::vector<double>& path_log_probabilities) {
  for (size_t s = 0; s < path_log_probabilities.size(); ++s) {
    if (std::isfinite(path_log_probabilities[s])) continue;
    throw_invalid("emissions", "finite scores and a legal path for every sentence",
                  "neither for sentence " + std::to_string(s));
  }
}

}  // namespace albert_ner::engine
