// The layer in float64, for gradient tests and callers that want its digits. Arguments and results are those
// of _bilstm_forward and _bilstm_backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

namespace albert_ner::ops {

std::tuple<at::Tensor, at::Tensor, at::Tensor> bilstm_forward_float64(
    const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
    const at::Tensor& b_ih, const at::Tensor& b_hh, const at::Tensor& w_ih_reverse,
    const at::Tensor& w_hh_reverse, const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse,
    bool saves);

std::vector<at::Tensor> bilstm_backward_float64(const at::Tensor& grad_output, const at::Tensor& features,
                                                const at::Tensor& offsets, const at::Tensor& w_ih,
                                                const at::Tensor& w_hh, const at::Tensor& w_ih_reverse,
                                                const at::Tensor& w_hh_reverse, const at::Tensor& output,
                                                const at::Tensor& gates, const at::Tensor& cells,
                                                bool features_grad);

}  // namespace albert_ner::ops
