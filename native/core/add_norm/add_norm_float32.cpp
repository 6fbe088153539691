#include "core/add_norm/add_norm_float32.h"

#include <cmath>

#include "core/parallel.h"
#include "core/simd/buffer.h"
#include "core/simd/isa.h"

namespace albert_ner::core {

ALBERT_NER_DECLARE_KERNELS(AddNormKernels, kAddNormKernels)

const AddNormKernels& add_norm_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kAddNormKernels);
}

namespace {

/// body(arguments with room of their own, first row, rows) for each block of rows, in parallel.
template <typename Body>
void for_each_row_block(const AddNormArgs& args, int64_t M, Body body) {
  for_each_block(M, [&](int64_t first, int64_t count) {
    static thread_local Buffer<float> scratch;
    AddNormArgs own = args;
    own.scratch = scratch.reserve(2 * args.D);
    body(own, first, count);
  });
}

}  // namespace

DropoutPlan dropout_plan(double probability, uint64_t seed) {
  return {seed, static_cast<uint32_t>(std::llround(probability * (1 << 16))),
          static_cast<float>(1 / (1 - probability))};
}

void dropout_factors(const DropoutPlan& plan, int64_t count, float* factors) {
  constexpr int64_t kElementsPerTask = 1 << 14;
  for_each_stretch(count, kElementsPerTask, [&](int64_t first, int64_t size) {
    add_norm_kernels().dropout_factors(plan, first, size, factors + first);
  });
}

void add_norm_forward(const AddNormArgs& args, int64_t M, const AddNormOutput& output) {
  for_each_row_block(args, M, [&](const AddNormArgs& own, int64_t first, int64_t count) {
    add_norm_kernels().forward(own, first, count, output);
  });
}

void add_norm_backward(const AddNormArgs& args, int64_t M, const AddNormGradients& gradients,
                       float* block_sums) {
  for_each_row_block(args, M, [&](const AddNormArgs& own, int64_t first, int64_t count) {
    AddNormGradients of_block = gradients;
    of_block.d_scale_bias_2d = block_sums + first / kBlockRows * 2 * args.D;
    add_norm_kernels().backward(own, first, count, of_block);
  });
}

}  // namespace albert_ner::core
