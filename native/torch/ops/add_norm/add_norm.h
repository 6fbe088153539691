// What joins the sublayers of an encoder: dropout, residual sum and layer norm in one pass over the rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace albert_ner::ops {

/// Layer norm of rows + dropout(added), over the last dimension.
///
///   rows     [M, D]  float32
///   added    [M, D]  float32|bfloat16  what a sublayer computed from the rows
///   scale    [D]     float32
///   bias     [D]     float32
///   dropout  probability in [0, 1) that an element of `added` is dropped; the others are scaled up
///   seed     of the dropout: its factors are dropout_factors({M, D}, dropout, seed)
///   returns  [M, D]  float32; beside it, if `added` is bfloat16, the same rounded to bfloat16
///
/// Differentiable once. On the CPU fused, and the same for any number of threads; composed of libtorch's
/// operators elsewhere. Throws kInvalidArgument on disagreement of shape, dtype or device. Source: Ba et al.
/// 2016, equation 4; Vaswani et al. 2017, section 5.4.
std::vector<at::Tensor> add_norm(const at::Tensor& rows, const at::Tensor& added, const at::Tensor& scale,
                                 const at::Tensor& bias, double eps, double dropout, int64_t seed);

/// Factors of dropout, float32 on the CPU: 0 with the probability, rounded to 2^-16, else 1 / (1 -
/// probability). All derive from the seed, so threads share the work and equal seeds give equal factors
/// whatever their number.
at::Tensor dropout_factors(at::IntArrayRef shape, double probability, int64_t seed);

}  // namespace albert_ner::ops
