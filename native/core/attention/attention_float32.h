// Attention in float32 on plain memory, for the operator and the engine. A task is one head of one sequence,
// done in blocks of rows so that the scores of a block stay in the cache from product to product. Results
// don't depend on the number of threads.
#pragma once

#include <cstdint>

#include "core/attention/attention_kernels.h"

namespace albert_ner::core {

/// Packed sequences whose rows have heads side by side.
struct AttentionShape {
  const int64_t* lengths;  // [B]
  int64_t B;
  int64_t M;  // sum of the lengths
  int64_t heads;
  int64_t width;  // W, columns of a head
};

/// Rows [M, heads * W] each.
struct AttentionInputs {
  AttentionRows query;
  AttentionRows key;
  AttentionRows value;
};

/// Heads may be this wide.
constexpr int64_t kLargestHeadWidth = 256;

/// output [M, heads * W]; log_sums [heads, M] for the gradient, or null.
void attention_forward(const AttentionShape& shape, const AttentionInputs& inputs,
                       const MutableAttentionRows& output, float* log_sums);

/// What attention_forward gave, and the gradient of its output.
struct AttentionResult {
  AttentionRows output;
  AttentionRows d_output;
  const float* log_sums;
};

struct AttentionGradients {
  MutableAttentionRows d_query;
  MutableAttentionRows d_key;
  MutableAttentionRows d_value;
};

void attention_backward(const AttentionShape& shape, const AttentionInputs& inputs,
                        const AttentionResult& result, const AttentionGradients& gradients);

}  // namespace albert_ner::core
