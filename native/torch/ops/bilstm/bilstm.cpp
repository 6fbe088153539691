// The public BiLSTM operator: schema, validation, dispatch. No arithmetic.

#include "torch/ops/bilstm/bilstm.h"

#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include "torch/ops/bilstm/bilstm_autograd.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

void check_direction(const LstmWeights& weights, const std::string& suffix, int64_t H,
                     const at::Tensor& features) {
  const int64_t D = features.size(1);
  const at::ScalarType dtype = features.scalar_type();
  const at::Device device = features.device();
  check_tensor(weights.w_ih, "w_ih" + suffix, {4 * H, D}, dtype, device);
  check_tensor(weights.w_hh, "w_hh" + suffix, {4 * H, H}, dtype, device);
  check_tensor(weights.b_ih, "b_ih" + suffix, {4 * H}, dtype, device);
  check_tensor(weights.b_hh, "b_hh" + suffix, {4 * H}, dtype, device);
}

bool needs_grad(const at::Tensor& features, const LstmWeights& forward, const LstmWeights& reverse) {
  if (!at::GradMode::is_enabled()) return false;
  for (const LstmWeights& weights : {forward, reverse}) {
    for (const at::Tensor& tensor : {weights.w_ih, weights.w_hh, weights.b_ih, weights.b_hh}) {
      if (tensor.requires_grad()) return true;
    }
  }
  return features.requires_grad();
}

at::Tensor bilstm_op(const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& w_ih,
                     const at::Tensor& w_hh, const at::Tensor& b_ih, const at::Tensor& b_hh,
                     const at::Tensor& w_ih_reverse, const at::Tensor& w_hh_reverse,
                     const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse) {
  return bilstm(features, offsets, {w_ih, w_hh, b_ih, b_hh},
                {w_ih_reverse, w_hh_reverse, b_ih_reverse, b_hh_reverse});
}

}  // namespace

at::Tensor bilstm(const at::Tensor& features, const at::Tensor& offsets, const LstmWeights& forward,
                  const LstmWeights& reverse) {
  check_floating(features, "features", 2);
  if (forward.w_hh.dim() != 2) throw_invalid("w_hh", "shape [4H, H]", shape_text(forward.w_hh.sizes()));
  const int64_t H = forward.w_hh.size(1);
  check_argument(H >= 1, "w_hh", "H >= 1", H);
  check_direction(forward, "", H, features);
  check_direction(reverse, "_reverse", H, features);
  check_offsets(offsets, features.size(0), features.device());
  return BilstmFunction::apply(features, offsets, forward.w_ih, forward.w_hh, forward.b_ih, forward.b_hh,
                               reverse.w_ih, reverse.w_hh, reverse.b_ih, reverse.b_hh,
                               needs_grad(features, forward, reverse));
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def(
      "bilstm(Tensor features, Tensor offsets, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, "
      "Tensor w_ih_reverse, Tensor w_hh_reverse, Tensor b_ih_reverse, Tensor b_hh_reverse) -> Tensor");
  m.def(
      "_bilstm_forward(Tensor features, Tensor offsets, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, "
      "Tensor w_ih_reverse, Tensor w_hh_reverse, Tensor b_ih_reverse, Tensor b_hh_reverse, bool saves) "
      "-> (Tensor output, Tensor gates, Tensor cells)");
  m.def(
      "_bilstm_backward(Tensor grad_output, Tensor features, Tensor offsets, Tensor w_ih, Tensor w_hh, "
      "Tensor w_ih_reverse, Tensor w_hh_reverse, Tensor output, Tensor gates, Tensor cells, bool "
      "features_grad) "
      "-> Tensor[]");
}

TORCH_LIBRARY_IMPL(albert_ner, CompositeImplicitAutograd, m) {
  m.impl("bilstm", bilstm_op);
}

}  // namespace albert_ner::ops
