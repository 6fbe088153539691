// The activation of ALBERT's feed-forward layers.
#pragma once

#include <ATen/core/Tensor.h>

namespace albert_ner::ops {

/// x times the normal distribution function at x, in its approximation by tanh.
///
///   rows     any shape, contiguous, float32|bfloat16
///   returns  the same shape and dtype
///
/// Differentiable once. On the CPU with kernels of its own, computed in float32; libtorch's elsewhere. Throws
/// kInvalidArgument for another dtype. Source: Hendrycks and Gimpel 2016, section 2.
at::Tensor gelu_tanh(const at::Tensor& rows);

}  // namespace albert_ner::ops
