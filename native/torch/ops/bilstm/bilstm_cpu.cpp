// The CPU kernels' way in: takes tensors apart for bilstm_float32.h, or hands them to bilstm_float64.h.

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "core/bilstm/bilstm_float32.h"
#include "torch/ops/bilstm/bilstm.h"
#include "torch/ops/bilstm/bilstm_float64.h"
#include "torch/support/core_names.h"

namespace albert_ner::ops {
namespace {

const float* floats(const at::Tensor& tensor) {
  return tensor.const_data_ptr<float>();
}

float* mutable_floats(const at::Tensor& tensor) {
  return tensor.mutable_data_ptr<float>();
}

BilstmFloat32& begin(const at::Tensor& features, const at::Tensor& offsets, int64_t H) {
  // Its memory serves every call of this thread.
  static thread_local BilstmFloat32 layer;
  layer.begin(offsets.const_data_ptr<int32_t>(), offsets.numel() - 1, features.size(1), H);
  return layer;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> bilstm_forward(
    const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
    const at::Tensor& b_ih, const at::Tensor& b_hh, const at::Tensor& w_ih_reverse,
    const at::Tensor& w_hh_reverse, const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse,
    bool saves) {
  if (features.scalar_type() == at::kDouble) {
    return bilstm_forward_float64(features, offsets, w_ih, w_hh, b_ih, b_hh, w_ih_reverse, w_hh_reverse,
                                  b_ih_reverse, b_hh_reverse, saves);
  }
  const int64_t N = features.size(0);
  const int64_t H = w_hh.size(1);
  const int64_t P = BilstmFloat32::padded(H);
  at::Tensor output = at::empty({N, 2 * H}, features.options());               // [N, 2H]
  at::Tensor gates = at::empty({saves ? 2 : 0, N, 4, P}, features.options());  // [2, N, 4, P]
  at::Tensor cells = at::empty({saves ? 2 : 0, N, P}, features.options());     // [2, N, P]
  const LstmDirections<const float*> weights = {
      {floats(w_ih), floats(w_hh), floats(b_ih), floats(b_hh)},
      {floats(w_ih_reverse), floats(w_hh_reverse), floats(b_ih_reverse), floats(b_hh_reverse)}};
  LstmSaved<float*> saved{nullptr, nullptr};
  if (saves) saved = {mutable_floats(gates), mutable_floats(cells)};
  begin(features, offsets, H).forward(floats(features), weights, saved, mutable_floats(output));
  return {output, gates, cells};
}

std::vector<at::Tensor> bilstm_backward(const at::Tensor& grad_output, const at::Tensor& features,
                                        const at::Tensor& offsets, const at::Tensor& w_ih,
                                        const at::Tensor& w_hh, const at::Tensor& w_ih_reverse,
                                        const at::Tensor& w_hh_reverse, const at::Tensor& output,
                                        const at::Tensor& gates, const at::Tensor& cells,
                                        bool features_grad) {
  if (features.scalar_type() == at::kDouble) {
    return bilstm_backward_float64(grad_output, features, offsets, w_ih, w_hh, w_ih_reverse, w_hh_reverse,
                                   output, gates, cells, features_grad);
  }
  const int64_t H = w_hh.size(1);
  std::vector<at::Tensor> gradients(7);
  if (features_grad) gradients[0] = at::empty_like(features);
  const LstmDirections<const float*> weights = {
      {floats(w_ih), floats(w_hh), nullptr, nullptr},
      {floats(w_ih_reverse), floats(w_hh_reverse), nullptr, nullptr}};
  LstmDirections<float*> d_weights;
  for (int64_t direction = 0; direction < 2; ++direction) {
    at::Tensor* d = gradients.data() + 1 + 3 * direction;
    d[0] = at::empty_like(w_ih);
    d[1] = at::empty_like(w_hh);
    d[2] = at::empty({4 * H}, w_hh.options());
    d_weights[direction] = {mutable_floats(d[0]), mutable_floats(d[1]), mutable_floats(d[2]), nullptr};
  }
  const at::Tensor d_gates = at::empty_like(gates);  // [2, N, 4, P]
  const LstmGradients d{d_weights, features_grad ? mutable_floats(gradients[0]) : nullptr,
                        mutable_floats(d_gates)};
  begin(features, offsets, H)
      .backward(floats(features), weights, {floats(gates), floats(cells)}, floats(output),
                floats(grad_output), d);
  return gradients;
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_bilstm_forward", bilstm_forward);
  m.impl("_bilstm_backward", bilstm_backward);
}

}  // namespace
}  // namespace albert_ner::ops
