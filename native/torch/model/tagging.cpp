#include "torch/model/tagging.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "common/check.h"
#include "torch/ops/crf/crf.h"
#include "torch/support/on_device.h"

namespace albert_ner::model {
namespace {

/// Emissions of all kept rows, [M, K] on the head's device.
at::Tensor kept_emissions(const Head& head, const WindowPlan& plan, const FeatureSource& source,
                          const runtime::Cancellation& cancellation) {
  const std::vector<int64_t> first_kept = first_kept_rows(plan);
  const at::TensorOptions floats = at::TensorOptions(head.device()).dtype(at::kFloat);
  at::Tensor emissions = at::empty({first_kept.back(), head.config().tag_count}, floats);  // [M, K]
  for_each_batch(plan.lengths, cancellation, [&](const std::vector<int64_t>& windows) {
    const KeptRows rows = kept_rows(plan, windows, first_kept);
    auto indexes = [&](const std::vector<int64_t>& places) {
      return on_device(at::tensor(places, at::kLong), head.device());
    };
    const at::Tensor batch = head.emissions(source(windows), nullptr);  // [rows of the windows, K]
    emissions.index_copy_(0, indexes(rows.to), batch.index_select(0, indexes(rows.from)));
  });
  return emissions;
}

}  // namespace

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
  tagging.spans = find_spans(head.config(), tag, plan.sequence_offsets);
  const int64_t span_count = static_cast<int64_t>(tagging.spans.size() / 4);
  const at::Tensor rows =
      at::tensor(span_rows(tagging.spans, plan.sequence_offsets), at::kInt).view({span_count, 2});  // [E, 2]
  const auto [posteriors, log_partition] = ops::crf_span_posterior(
      emissions, tags, offsets, on_device(rows, head.device()), head.continuation(), transitions, start, end);
  const at::Tensor host_posteriors = posteriors.cpu();                 // [E]
  const at::Tensor log_probabilities = (score - log_partition).cpu();  // [S]
  const double* posterior = host_posteriors.const_data_ptr<double>();
  tagging.span_scores.assign(posterior, posterior + span_count);
  const double* log_probability = log_probabilities.const_data_ptr<double>();
  tagging.path_log_probabilities.assign(log_probability, log_probability + score.numel());
  check_paths(tagging.path_log_probabilities);
  return tagging;
}

}  // namespace albert_ner::model
