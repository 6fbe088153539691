// CUDA implementation of the BiLSTM. The projection of the features, the gradients of the weights and that of
// the features are one matrix product each for both directions, by cuBLAS; the recurrence is one launch for
// the whole batch, which keeps its weights in registers where they fit. Nothing waits for the device. Rows
// stay in packed order; what the forward operator saves as `gates` [N, 8H] and `cells` [N, 2H] is laid out as
// bilstm_cuda_kernels.h says.

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "torch/ops/bilstm/bilstm_cuda_kernels.h"

namespace albert_ner::ops {
namespace {

/// A block per sentence and direction.
dim3 grid_of(const at::Tensor& offsets) {
  return dim3(static_cast<unsigned>(offsets.numel() - 1), 2);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> bilstm_forward_cuda(
    const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
    const at::Tensor& b_ih, const at::Tensor& b_hh, const at::Tensor& w_ih_reverse,
    const at::Tensor& w_hh_reverse, const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse,
    bool saves) {
  const c10::DeviceGuard guard(features.device());
  const int64_t N = features.size(0);
  const int64_t H = w_hh.size(1);
  const bool in_registers = H == kRegisterHidden;
  const at::Tensor bias = at::cat({b_ih + b_hh, b_ih_reverse + b_hh_reverse});                // [8H]
  const at::Tensor projection = at::cat({w_ih, w_ih_reverse});                                // [8H, D]
  at::Tensor gates = at::addmm(bias, features, projection.t());                               // [N, 8H]
  at::Tensor recurrent = at::stack({w_hh, w_hh_reverse});                                     // [2, 4H, H]
  if (!in_registers) recurrent = recurrent.transpose(1, 2).contiguous();                      // [2, H, 4H]
  at::Tensor cells = at::empty({saves || !in_registers ? N : 0, 2 * H}, features.options());  // [N, 2H]
  at::Tensor output = at::empty({N, 2 * H}, features.options());                              // [N, 2H]
  AT_DISPATCH_FLOATING_TYPES(features.scalar_type(), "bilstm_forward", [&] {
    const LstmForward<scalar_t> lstm{H,
                                     N,
                                     offsets.const_data_ptr<int32_t>(),
                                     recurrent.const_data_ptr<scalar_t>(),
                                     gates.mutable_data_ptr<scalar_t>(),
                                     cells.mutable_data_ptr<scalar_t>(),
                                     output.mutable_data_ptr<scalar_t>(),
                                     saves};
    if (in_registers) {
      launch("bilstm_register_forward_kernel", bilstm_register_forward_kernel<scalar_t>,
             {grid_of(offsets), dim3(kRegisterThreads)}, lstm);
    } else {
      launch("bilstm_general_forward_kernel", bilstm_general_forward_kernel<scalar_t>,
             {grid_of(offsets), dim3(kGeneralThreads), H * sizeof(scalar_t)}, lstm);
    }
  });
  if (!saves) return {output, at::empty({0}, features.options()), at::empty({0}, features.options())};
  return {output, gates, cells};
}

std::vector<at::Tensor> bilstm_backward_cuda(const at::Tensor& grad_output, const at::Tensor& features,
                                             const at::Tensor& offsets, const at::Tensor& w_ih,
                                             const at::Tensor& w_hh, const at::Tensor& w_ih_reverse,
                                             const at::Tensor& w_hh_reverse, const at::Tensor& output,
                                             const at::Tensor& gates, const at::Tensor& cells,
                                             bool features_grad) {
  const c10::DeviceGuard guard(features.device());
  const int64_t N = features.size(0);
  const int64_t H = w_hh.size(1);
  const at::Tensor recurrent = at::stack({w_hh, w_hh_reverse});  // [2, 4H, H]
  at::Tensor d_gates = at::empty_like(gates);                    // [N, 8H]
  at::Tensor previous = at::empty_like(output);                  // [N, 2H] hidden states before each row
  AT_DISPATCH_FLOATING_TYPES(features.scalar_type(), "bilstm_backward", [&] {
    const LstmBackward<scalar_t> lstm{H,
                                      N,
                                      offsets.const_data_ptr<int32_t>(),
                                      recurrent.const_data_ptr<scalar_t>(),
                                      gates.const_data_ptr<scalar_t>(),
                                      cells.const_data_ptr<scalar_t>(),
                                      output.const_data_ptr<scalar_t>(),
                                      grad_output.const_data_ptr<scalar_t>(),
                                      d_gates.mutable_data_ptr<scalar_t>(),
                                      previous.mutable_data_ptr<scalar_t>()};
    if (H == kRegisterHidden) {
      launch("bilstm_register_backward_kernel", bilstm_register_backward_kernel<scalar_t>,
             {grid_of(offsets), dim3(kRegisterThreads)}, lstm);
    } else {
      launch("bilstm_general_backward_kernel", bilstm_general_backward_kernel<scalar_t>,
             {grid_of(offsets), dim3(kGeneralThreads), H * sizeof(scalar_t)}, lstm);
    }
  });
  const at::Tensor d_gates_t = d_gates.t();               // [8H, N]
  const at::Tensor d_w_ih = at::mm(d_gates_t, features);  // [8H, D]
  const at::Tensor d_bias = d_gates.sum(0);               // [8H]
  std::vector<at::Tensor> gradients{features_grad ? at::mm(d_gates, at::cat({w_ih, w_ih_reverse}))
                                                  : at::Tensor()};  // [N, D]
  for (int64_t direction = 0; direction < 2; ++direction) {
    // Copies: gradients that share memory would be changed together by a caller that scales one in place.
    gradients.push_back(d_w_ih.narrow(0, direction * 4 * H, 4 * H).clone());  // [4H, D]
    gradients.push_back(at::mm(d_gates_t.narrow(0, direction * 4 * H, 4 * H),
                               previous.narrow(1, direction * H, H)));        // [4H, H]
    gradients.push_back(d_bias.narrow(0, direction * 4 * H, 4 * H).clone());  // [4H]
  }
  return gradients;
}

ALBERT_NER_CUDA_LIBRARY(m) {
  m.impl("_bilstm_forward", bilstm_forward_cuda);
  m.impl("_bilstm_backward", bilstm_backward_cuda);
}

}  // namespace
}  // namespace albert_ner::ops
