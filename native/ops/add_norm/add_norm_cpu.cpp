// CPU kernels of add_norm.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/add_norm/add_norm.h"
#include "ops/add_norm/add_norm_kernels.h"
#include "ops/support/isa.h"
#include "ops/support/tasks.h"

namespace albert_ner::ops {

ALBERT_NER_DECLARE_KERNELS(AddNormKernels, kAddNormKernels)

const AddNormKernels& add_norm_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kAddNormKernels);
}

namespace {

DropoutPlan dropout_plan(double probability, int64_t seed) {
  return {static_cast<uint64_t>(seed), static_cast<uint32_t>(std::llround(probability * (1 << 16))),
          static_cast<float>(1 / (1 - probability))};
}

const uint16_t* halves(const at::Tensor& tensor) {
  return static_cast<const uint16_t*>(tensor.const_data_ptr());
}

uint16_t* mutable_halves(at::Tensor& tensor) {
  return static_cast<uint16_t*>(tensor.mutable_data_ptr());
}

AddNormArgs arguments(const at::Tensor& rows, const at::Tensor& added, const at::Tensor& scale,
                      const at::Tensor& bias, double eps, double dropout, int64_t seed) {
  const bool narrow = added.scalar_type() == at::kBFloat16;
  return {rows.size(1),
          rows.const_data_ptr<float>(),
          {narrow ? nullptr : added.const_data_ptr<float>(), narrow ? halves(added) : nullptr},
          scale.const_data_ptr<float>(),
          bias.const_data_ptr<float>(),
          static_cast<float>(eps),
          dropout_plan(dropout, seed),
          nullptr};
}

/// body(arguments with room of their own, block, first row, rows) for each block of rows, in parallel.
template <typename Body>
void for_each_row_block(AddNormArgs args, int64_t M, Body body) {
  for_each_block(M, [&](int64_t first, int64_t count) {
    std::vector<float> scratch(2 * args.D);
    AddNormArgs own = args;
    own.scratch = scratch.data();
    body(own, first, count);
  });
}

std::vector<at::Tensor> add_norm_forward(const at::Tensor& rows, const at::Tensor& added,
                                         const at::Tensor& scale, const at::Tensor& bias, double eps,
                                         double dropout, int64_t seed, bool saves) {
  const bool narrow = added.scalar_type() == at::kBFloat16;
  const int64_t M = rows.size(0);
  at::Tensor normed = at::empty_like(rows);  // [M, D]
  at::Tensor rounded = at::empty(narrow ? rows.sizes() : at::IntArrayRef{0}, added.options());
  at::Tensor moments = at::empty({saves ? M : 0, 2}, rows.options());  // [M, 2]
  const AddNormOutput output{normed.mutable_data_ptr<float>(), narrow ? mutable_halves(rounded) : nullptr,
                             saves ? moments.mutable_data_ptr<float>() : nullptr};
  for_each_row_block(arguments(rows, added, scale, bias, eps, dropout, seed), M,
                     [&](const AddNormArgs& args, int64_t first, int64_t count) {
                       add_norm_kernels().forward(args, first, count, output);
                     });
  return {normed, rounded, moments};
}

std::vector<at::Tensor> add_norm_backward(const at::Tensor& d_normed, const at::Tensor& d_rounded,
                                          const at::Tensor& rows, const at::Tensor& added,
                                          const at::Tensor& scale, const at::Tensor& moments, double dropout,
                                          int64_t seed) {
  const bool narrow = added.scalar_type() == at::kBFloat16;
  const int64_t D = rows.size(1);
  at::Tensor d_rows = at::empty_like(rows);    // [M, D]
  at::Tensor d_added = at::empty_like(added);  // [M, D]
  // Blocks sum for themselves, so that the sum doesn't depend on the number of threads.
  at::Tensor sums = at::zeros({block_count(rows.size(0)), 2, D}, rows.options());
  float* sums_data = sums.mutable_data_ptr<float>();
  AddNormGradients gradients{d_normed.numel() > 0 ? d_normed.const_data_ptr<float>() : nullptr,
                             d_rounded.numel() > 0 ? halves(d_rounded) : nullptr,
                             moments.const_data_ptr<float>(),
                             d_rows.mutable_data_ptr<float>(),
                             narrow ? nullptr : d_added.mutable_data_ptr<float>(),
                             narrow ? mutable_halves(d_added) : nullptr,
                             nullptr};
  for_each_row_block(arguments(rows, added, scale, scale, 0, dropout, seed), rows.size(0),
                     [&](const AddNormArgs& args, int64_t first, int64_t count) {
                       AddNormGradients own = gradients;
                       own.d_scale_bias_2d = sums_data + first / kBlockRows * 2 * D;
                       add_norm_kernels().backward(args, first, count, own);
                     });
  const at::Tensor d_scale_bias = sums.sum(0);  // [2, D]
  return {d_rows, d_added, d_scale_bias.select(0, 0), d_scale_bias.select(0, 1)};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_add_norm_forward", add_norm_forward);
  m.impl("_add_norm_backward", add_norm_backward);
}

}  // namespace

at::Tensor dropout_factors(at::IntArrayRef shape, double probability, int64_t seed) {
  constexpr int64_t kElementsPerTask = 1 << 14;
  at::Tensor factors = at::empty(shape, at::kFloat);
  float* data = factors.mutable_data_ptr<float>();
  const DropoutPlan plan = dropout_plan(probability, seed);
  at::parallel_for(0, factors.numel(), kElementsPerTask, [&](int64_t first, int64_t last) {
    add_norm_kernels().dropout_factors(plan, first, last - first, data + first);
  });
  return factors;
}

}  // namespace albert_ner::ops
