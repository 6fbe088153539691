// Scaled dot-product self-attention on packed sequences.
#pragma once

#include <ATen/core/Tensor.h>

namespace albert_ner::ops {

/// Each row attends to the rows of its own sequence, in each head on its own.
///
///   query, key, value  [M, D]  float32|float64|bfloat16; the columns of a head adjoin
///   lengths            B numbers of rows, on the host; their sum is M
///   heads              of D / heads columns each
///   returns            [M, D]  as the query
///
/// Differentiable once. On the CPU, float32 and bfloat16 with heads of up to 256 columns are computed in
/// float32 in one pass over each sequence, the same for any number of threads; nothing of size T^2 is kept
/// for the gradient. O(sum T^2 D) time. Throws kInvalidArgument on disagreement of shape, dtype or device.
/// Source: Vaswani et al. 2017, equation 1; the gradient in blocks as Dao et al. 2022, appendix B.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     at::IntArrayRef lengths, int64_t heads);

}  // namespace albert_ner::ops
