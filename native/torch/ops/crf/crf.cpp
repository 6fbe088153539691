// Public CRF operators: schemas, validation, dispatch. No arithmetic.

#include "torch/ops/crf/crf.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <string>

#include "torch/ops/crf/crf_autograd.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

void check_crf_args(const at::Tensor& emissions, const at::Tensor& offsets, const at::Tensor& transitions,
                    const at::Tensor& start_transitions, const at::Tensor& end_transitions) {
  check_floating(emissions, "emissions", 2);
  const int64_t K = emissions.size(1);
  const at::ScalarType dtype = emissions.scalar_type();
  const at::Device device = emissions.device();
  check_argument(K >= 1, "emissions", "at least one tag", K);
  check_tensor(transitions, "transitions", {K, K}, dtype, device);
  check_tensor(start_transitions, "start_transitions", {K}, dtype, device);
  check_tensor(end_transitions, "end_transitions", {K}, dtype, device);
  check_offsets(offsets, emissions.size(0), device);
}

/// int32 indices into the K tags: they address memory in the kernels, so their range is checked here. The
/// kernels of other devices check it themselves, since reading the values would wait for the device.
void check_tag_values(const at::Tensor& tags, std::string_view name, int32_t lowest, int64_t K) {
  if (!tags.is_cpu()) return;
  const int32_t* values = tags.const_data_ptr<int32_t>();
  for (int64_t n = 0; n < tags.numel(); ++n) {
    if (values[n] >= lowest && values[n] < K) continue;
    throw_invalid(name, "values in [" + std::to_string(lowest) + ", " + std::to_string(K) + ")",
                  std::to_string(values[n]) + " at " + std::to_string(n));
  }
}

/// [N] int32, one tag per row.
void check_tags(const at::Tensor& tags, std::string_view name, const at::Tensor& emissions) {
  check_tensor(tags, name, {emissions.size(0)}, at::kInt, emissions.device());
  check_tag_values(tags, name, 0, emissions.size(1));
}

/// Each span lies inside one sentence and isn't empty. As for tags: the values are checked on the CPU only.
void check_spans(const at::Tensor& spans, const at::Tensor& offsets) {
  if (spans.dim() != 2 || spans.size(1) != 2)
    throw_invalid("spans", "shape [S, 2]", shape_text(spans.sizes()));
  check_tensor(spans, "spans", spans.sizes(), at::kInt, offsets.device());
  if (!spans.is_cpu()) return;
  const int32_t* spans_s2 = spans.const_data_ptr<int32_t>();
  const int32_t* begin = offsets.const_data_ptr<int32_t>();
  const int32_t* end = begin + offsets.numel();
  for (int64_t s = 0; s < spans.size(0); ++s) {
    const int32_t first = spans_s2[2 * s];
    const int32_t last = spans_s2[2 * s + 1];
    // The first offset past `first` ends the sentence that holds it.
    const int32_t* sentence_end = std::upper_bound(begin, end, first);
    if (first >= 0 && first < last && sentence_end != end && last <= *sentence_end) continue;
    throw_invalid("spans", "rows of one sentence",
                  "[" + std::to_string(first) + ", " + std::to_string(last) + ")");
  }
}

}  // namespace

at::Tensor crf_nll(const at::Tensor& emissions, const at::Tensor& tags, const at::Tensor& offsets,
                   const at::Tensor& transitions, const at::Tensor& start_transitions,
                   const at::Tensor& end_transitions) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  check_tags(tags, "tags", emissions);
  return CrfNllFunction::apply(emissions, tags, offsets, transitions, start_transitions, end_transitions);
}

at::Tensor crf_partial_nll(const at::Tensor& emissions, const at::Tensor& allowed, const at::Tensor& offsets,
                           const at::Tensor& transitions, const at::Tensor& start_transitions,
                           const at::Tensor& end_transitions) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  check_tensor(allowed, "allowed", emissions.sizes(), at::kBool, emissions.device());
  return CrfPartialNllFunction::apply(emissions, allowed, offsets, transitions, start_transitions,
                                      end_transitions);
}

std::tuple<at::Tensor, at::Tensor> crf_viterbi(const at::Tensor& emissions, const at::Tensor& offsets,
                                               const at::Tensor& transitions,
                                               const at::Tensor& start_transitions,
                                               const at::Tensor& end_transitions) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_viterbi", "")
                             .typed<decltype(crf_viterbi)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  return op.call(emissions, offsets, transitions, start_transitions, end_transitions);
}

std::tuple<at::Tensor, at::Tensor> crf_nbest(const at::Tensor& emissions, const at::Tensor& offsets,
                                             const at::Tensor& transitions,
                                             const at::Tensor& start_transitions,
                                             const at::Tensor& end_transitions, int64_t count) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  check_argument(count >= 1, "count", "at least one path", count);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_nbest", "")
                             .typed<decltype(crf_nbest)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  return op.call(emissions, offsets, transitions, start_transitions, end_transitions, count);
}

std::tuple<at::Tensor, at::Tensor> crf_marginals(const at::Tensor& emissions, const at::Tensor& offsets,
                                                 const at::Tensor& transitions,
                                                 const at::Tensor& start_transitions,
                                                 const at::Tensor& end_transitions) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_marginals", "")
                             .typed<decltype(crf_marginals)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  return op.call(emissions, offsets, transitions, start_transitions, end_transitions);
}

std::tuple<at::Tensor, at::Tensor> crf_span_posterior(const at::Tensor& emissions,
                                                      const at::Tensor& path_tags, const at::Tensor& offsets,
                                                      const at::Tensor& spans, const at::Tensor& continuation,
                                                      const at::Tensor& transitions,
                                                      const at::Tensor& start_transitions,
                                                      const at::Tensor& end_transitions) {
  check_crf_args(emissions, offsets, transitions, start_transitions, end_transitions);
  check_tags(path_tags, "path_tags", emissions);
  check_spans(spans, offsets);
  check_tensor(continuation, "continuation", {emissions.size(1)}, at::kInt, emissions.device());
  check_tag_values(continuation, "continuation", -1, emissions.size(1));
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("albert_ner::_crf_span_posterior", "")
                             .typed<decltype(crf_span_posterior)>();
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  return op.call(emissions, path_tags, offsets, spans, continuation, transitions, start_transitions,
                 end_transitions);
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def(
      "crf_nll(Tensor emissions, Tensor tags, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions) -> Tensor");
  m.def(
      "_crf_nll_forward(Tensor emissions, Tensor tags, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions) -> (Tensor nll, Tensor alphas)");
  m.def(
      "_crf_nll_backward(Tensor grad_nll, Tensor emissions, Tensor tags, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions, Tensor alphas) "
      "-> (Tensor emissions, Tensor transitions, Tensor start_transitions, Tensor end_transitions)");
  m.def(
      "crf_partial_nll(Tensor emissions, Tensor allowed, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions) -> Tensor");
  m.def(
      "_crf_partial_nll_forward(Tensor emissions, Tensor allowed, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions) "
      "-> (Tensor nll, Tensor alphas, Tensor constrained_alphas)");
  m.def(
      "_crf_partial_nll_backward(Tensor grad_nll, Tensor emissions, Tensor allowed, Tensor offsets, "
      "Tensor transitions, Tensor start_transitions, Tensor end_transitions, Tensor alphas, "
      "Tensor constrained_alphas) "
      "-> (Tensor emissions, Tensor transitions, Tensor start_transitions, Tensor end_transitions)");
  const char* decoding =
      "(Tensor emissions, Tensor offsets, Tensor transitions, "
      "Tensor start_transitions, Tensor end_transitions) -> (Tensor, Tensor)";
  for (const char* name : {"crf_viterbi", "_crf_viterbi", "crf_marginals", "_crf_marginals"}) {
    m.def((std::string(name) + decoding).c_str());
  }
  for (const char* name : {"crf_nbest", "_crf_nbest"}) {
    m.def((std::string(name) +
           "(Tensor emissions, Tensor offsets, Tensor transitions, Tensor start_transitions, "
           "Tensor end_transitions, int count) -> (Tensor, Tensor)")
              .c_str());
  }
  const char* posterior =
      "(Tensor emissions, Tensor path_tags, Tensor offsets, Tensor spans, Tensor continuation, "
      "Tensor transitions, Tensor start_transitions, Tensor end_transitions) -> (Tensor, Tensor)";
  for (const char* name : {"crf_span_posterior", "_crf_span_posterior"}) {
    m.def((std::string(name) + posterior).c_str());
  }
}

TORCH_LIBRARY_IMPL(albert_ner, CompositeImplicitAutograd, m) {
  m.impl("crf_nll", crf_nll);
  m.impl("crf_partial_nll", crf_partial_nll);
  m.impl("crf_viterbi", crf_viterbi);
  m.impl("crf_nbest", crf_nbest);
  m.impl("crf_marginals", crf_marginals);
  m.impl("crf_span_posterior", crf_span_posterior);
}

}  // namespace albert_ner::ops
