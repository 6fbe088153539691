#include "model/tagging.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/check.h"
#include "common/on_device.h"
#include "ops/crf/crf.h"

namespace albert_ner::model {
namespace {

/// Rows per pass through encoder and BiLSTM. A batch fills the matrix kernels from a few hundred rows on, and
/// at 2,048 the widest intermediate of a base encoder (24 MB) still fits the last-level cache.
constexpr int64_t kRowsPerBatch = 2048;

/// Fills in the defaults and checks the plan, which says what memory is touched.
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

/// Emissions of all kept rows, [M, K] on the head's device.
at::Tensor kept_emissions(const Head& head, const WindowPlan& plan, const FeatureSource& source,
                          const runtime::Cancellation& cancellation) {
  std::vector<int64_t> first_kept(plan.lengths.size() + 1, 0);
  for (size_t b = 0; b < plan.lengths.size(); ++b) first_kept[b + 1] = first_kept[b] + plan.keep[2 * b + 1];
  const at::TensorOptions floats = at::TensorOptions(head.device()).dtype(at::kFloat);
  at::Tensor emissions = at::empty({first_kept.back(), head.config().tag_count}, floats);  // [M, K]
  for_each_batch(plan.lengths, cancellation, [&](const std::vector<int64_t>& windows) {
    std::vector<int64_t> from;  // rows of the batch that are kept
    std::vector<int64_t> to;    // and their places among the kept ones
    int64_t row = 0;
    for (int64_t window : windows) {
      for (int64_t k = 0; k < plan.keep[2 * window + 1]; ++k) {
        from.push_back(row + plan.keep[2 * window] + k);
        to.push_back(first_kept[window] + k);
      }
      row += plan.lengths[window];
    }
    auto indexes = [&](const std::vector<int64_t>& rows) {
      return on_device(at::tensor(rows, at::kLong), head.device());
    };
    const at::Tensor batch = head.emissions(source(windows), nullptr);  // [rows of the windows, K]
    emissions.index_copy_(0, indexes(to), batch.index_select(0, indexes(from)));
  });
  return emissions;
}

/// What the operators refuse on the CPU and can't look at elsewhere.
void check_scores(const std::vector<double>& path_log_probabilities) {
  for (size_t s = 0; s < path_log_probabilities.size(); ++s) {
    if (std::isfinite(path_log_probabilities[s])) continue;
    throw_invalid("emissions", "finite scores and a legal path for every sentence",
                  "neither for sentence " + std::to_string(s));
  }
}

/// The spans of a legal path: a span opens with a begin or single tag and goes on through inside and end
/// tags.
void find_spans(const HeadConfig& config, const int32_t* tags, const std::vector<int32_t>& sequence_offsets,
                std::vector<int32_t>& spans) {
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
}

}  // namespace

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

Tagging tag_windows(const Head& head, WindowPlan plan, const FeatureSource& source,
                    const runtime::Cancellation& cancellation) {
  complete(plan);
  // float64 from here on: scores of long sequences are large and their differences small.
  const at::Tensor emissions = kept_emissions(head, plan, source, cancellation).to(at::kDouble);
  cancellation.poll();
  const at::Tensor offsets = on_device(at::tensor(plan.sequence_offsets, at::kInt), head.device());
  const ConstrainedTransitions crf = head.constrained();
  const at::Tensor transitions = crf.transitions.to(at::kDouble);
  const at::Tensor start = crf.start.to(at::kDouble);
  const at::Tensor end = crf.end.to(at::kDouble);
  const auto [tags, score] = ops::crf_viterbi(emissions, offsets, transitions, start, end);
  const at::Tensor host_tags = tags.cpu();  // [M]
  const int32_t* tag = host_tags.const_data_ptr<int32_t>();

  Tagging tagging;
  tagging.tags.assign(tag, tag + tags.numel());
  find_spans(head.config(), tag, plan.sequence_offsets, tagging.spans);
  const int64_t span_count = static_cast<int64_t>(tagging.spans.size() / 4);
  at::Tensor rows = at::empty({span_count, 2}, at::kInt);  // [E, 2]
  for (int64_t e = 0; e < span_count; ++e) {
    const int32_t* span = tagging.spans.data() + 4 * e;
    rows.mutable_data_ptr<int32_t>()[2 * e] = plan.sequence_offsets[span[0]] + span[1];
    rows.mutable_data_ptr<int32_t>()[2 * e + 1] = plan.sequence_offsets[span[0]] + span[2];
  }
  const auto [posteriors, log_partition] = ops::crf_span_posterior(
      emissions, tags, offsets, on_device(rows, head.device()), head.continuation(), transitions, start, end);
  const at::Tensor host_posteriors = posteriors.cpu();                 // [E]
  const at::Tensor log_probabilities = (score - log_partition).cpu();  // [S]
  const double* posterior = host_posteriors.const_data_ptr<double>();
  tagging.span_scores.assign(posterior, posterior + span_count);
  const double* log_probability = log_probabilities.const_data_ptr<double>();
  tagging.path_log_probabilities.assign(log_probability, log_probability + score.numel());
  check_scores(tagging.path_log_probabilities);
  return tagging;
}

}  // namespace albert_ner::model
