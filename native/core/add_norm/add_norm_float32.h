// add_norm and dropout on plain memory, for the operators and the engine. Results don't depend on the number
// of threads.
#pragma once

#include <cstdint>

#include "core/add_norm/add_norm_kernels.h"

namespace albert_ner::core {

/// For elements that are zeroed with this probability, in [0, 1), and scaled up otherwise. Equal for equal
/// seeds.
DropoutPlan dropout_plan(double probability, uint64_t seed);

/// factors[k] of `count` elements.
void dropout_factors(const DropoutPlan& plan, int64_t count, float* factors);

/// M rows. The scratch of the arguments isn't used.
void add_norm_forward(const AddNormArgs& args, int64_t M, const AddNormOutput& output);

/// M rows; the gradients of scale and bias, [2, D], are added up for each block of kBlockRows rows: block_sums
/// [block_count(M), 2, D], zeros at first. The scratch of the arguments and the sums of the gradients aren't
/// used.
void add_norm_backward(const AddNormArgs& args, int64_t M, const AddNormGradients& gradients,
                       float* block_sums);

}  // namespace albert_ner::core
