// The public operator: schema, validation, and the step on the tensors' memory.

#include "torch/ops/tagger/tagger.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <torch/library.h>

#include <optional>
#include <vector>

#include "core/tagger/tagger_float32.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

constexpr const char* kHeadNames[] = {"w_ih",
                                      "w_hh",
                                      "b_ih",
                                      "b_hh",
                                      "w_ih_reverse",
                                      "w_hh_reverse",
                                      "b_ih_reverse",
                                      "b_hh_reverse",
                                      "classifier_weight",
                                      "classifier_bias",
                                      "transitions",
                                      "start_transitions",
                                      "end_transitions"};
constexpr size_t kHeadTensors = std::size(kHeadNames);

/// Tensors of the head as pointers; `pointer_of(k)` gives the k-th.
template <typename Pointer, typename PointerOf>
TaggerPointers<Pointer> head_pointers(PointerOf pointer_of) {
  TaggerPointers<Pointer> head;
  for (size_t direction = 0; direction < 2; ++direction) {
    const size_t first = 4 * direction;
    head.lstm[direction] = {pointer_of(first), pointer_of(first + 1), pointer_of(first + 2),
                            pointer_of(first + 3)};
  }
  head.classifier_weight = pointer_of(8);
  head.classifier_bias = pointer_of(9);
  head.transitions = pointer_of(10);
  head.start_transitions = pointer_of(11);
  head.end_transitions = pointer_of(12);
  return head;
}

TaggerSizes check_head(at::TensorList head, const at::Tensor& features) {
  check_argument(head.size() == kHeadTensors, "head", "13 tensors", head.size());
  if (head[1].dim() != 2) throw_invalid("w_hh", "shape [4H, H]", shape_text(head[1].sizes()));
  if (head[8].dim() != 2) throw_invalid("classifier_weight", "shape [K, 2H]", shape_text(head[8].sizes()));
  const TaggerSizes sizes{features.size(1), head[1].size(1), head[8].size(0)};
  const auto [D, H, K] = sizes;
  check_argument(H >= 1 && K >= 1, "head", "H >= 1 and K >= 1", H);
  const int64_t w_ih[] = {4 * H, D};
  const int64_t w_hh[] = {4 * H, H};
  const int64_t bias[] = {4 * H};
  const int64_t classifier[] = {K, 2 * H};
  const int64_t transitions[] = {K, K};
  const int64_t tags[] = {K};
  const at::IntArrayRef shapes[] = {w_ih, w_hh,       bias, bias,        w_ih, w_hh, bias,
                                    bias, classifier, tags, transitions, tags, tags};
  for (size_t k = 0; k < kHeadTensors; ++k) {
    check_tensor(head[k], kHeadNames[k], shapes[k], at::kFloat, at::kCPU);
  }
  return sizes;
}

TaggerSizes check(const TaggerArgs& args) {
  const at::Tensor& features = args.features;
  if (features.dim() != 2) throw_invalid("features", "2 dimensions", shape_text(features.sizes()));
  const at::ScalarType dtype = features.scalar_type() == at::kHalf ? at::kHalf : at::kFloat;
  check_tensor(features, "features", features.sizes(), dtype, at::kCPU);
  check_argument(features.size(0) >= 1 && features.size(1) >= 1, "features", "at least one row",
                 features.size(0));
  const TaggerSizes sizes = check_head(args.head, features);
  check_offsets(args.offsets, features.size(0), at::kCPU);
  check_tensor(args.tags, "tags", {features.size(0)}, at::kInt, at::kCPU);
  const int32_t* values = args.tags.const_data_ptr<int32_t>();
  for (int64_t n = 0; n < args.tags.numel(); ++n) {
    check_argument(values[n] >= 0 && values[n] < sizes.K, "tags", "values in [0, K)", values[n]);
  }
  check_argument(args.dropout >= 0 && args.dropout < 1, "dropout", "a probability in [0, 1)", args.dropout);
  return sizes;
}

void check_gradients(const TaggerArgs& args, at::TensorList gradients, const at::Tensor& features_grad) {
  check_argument(gradients.size() == kHeadTensors, "gradients", "13 tensors", gradients.size());
  for (size_t k = 0; k < kHeadTensors; ++k) {
    check_tensor(gradients[k], kHeadNames[k], args.head[k].sizes(), at::kFloat, at::kCPU);
  }
  if (!features_grad.defined()) return;
  check_tensor(features_grad, "features_grad", args.features.sizes(), at::kFloat, at::kCPU);
}

/// [] float64 loss, the gradients, and the features' gradient where it is wanted.
std::vector<at::Tensor> tagger_loss_op(const at::Tensor& features, const at::Tensor& offsets,
                                       const at::Tensor& tags, at::TensorList head, double dropout,
                                       int64_t seed, bool features_grad) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : head) gradients.push_back(at::empty_like(parameter));
  at::Tensor d_features;
  if (features_grad) d_features = at::empty(features.sizes(), features.options().dtype(at::kFloat));
  const double loss = tagger_loss({features, offsets, tags, head, dropout, seed}, gradients, d_features);
  std::vector<at::Tensor> outputs = std::move(gradients);
  outputs.insert(outputs.begin(), at::full({}, loss, at::kDouble));
  if (features_grad) outputs.push_back(d_features);
  return outputs;
}

double tagger_loss_into_op(const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& tags,
                           at::TensorList head, double dropout, int64_t seed, at::TensorList gradients,
                           const std::optional<at::Tensor>& features_grad) {
  return tagger_loss({features, offsets, tags, head, dropout, seed}, gradients,
                     features_grad ? *features_grad : at::Tensor());
}

}  // namespace

double tagger_loss(const TaggerArgs& args, at::TensorList gradients, const at::Tensor& features_grad) {
  const TaggerSizes sizes = check(args);
  check_gradients(args, gradients, features_grad);
  const at::Tensor& features = args.features;
  const bool is_half = features.scalar_type() == at::kHalf;
  const TaggerBatch batch{is_half ? nullptr : features.const_data_ptr<float>(),
                          is_half ? static_cast<const uint16_t*>(features.const_data_ptr()) : nullptr,
                          args.offsets.const_data_ptr<int32_t>(), args.tags.const_data_ptr<int32_t>(),
                          args.offsets.numel() - 1};
  static thread_local TaggerFloat32 tagger;
  return tagger.step(batch, sizes, head_pointers<const float*>([&](size_t k) {
                       return args.head[k].const_data_ptr<float>();
                     }),
                     {args.dropout, static_cast<uint64_t>(args.seed)},
                     head_pointers<float*>([&](size_t k) { return gradients[k].mutable_data_ptr<float>(); }),
                     features_grad.defined() ? features_grad.mutable_data_ptr<float>() : nullptr);
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def(
      "tagger_loss(Tensor features, Tensor offsets, Tensor tags, Tensor[] head, float dropout, int seed, "
      "bool features_grad) -> Tensor[]");
  m.def(
      "tagger_loss_into(Tensor features, Tensor offsets, Tensor tags, Tensor[] head, float dropout, "
      "int seed, Tensor(a!)[] gradients, Tensor(b!)? features_grad) -> float");
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("tagger_loss", tagger_loss_op);
  m.impl("tagger_loss_into", tagger_loss_into_op);
}

}  // namespace albert_ner::ops
