// The CPU kernels' way in: takes tensors apart for add_norm_float32.h.

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <vector>

#include "core/add_norm/add_norm_float32.h"
#include "core/parallel.h"
#include "torch/ops/add_norm/add_norm.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

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
          dropout_plan(dropout, static_cast<uint64_t>(seed)),
          nullptr};
}

std::vector<at::Tensor> add_norm_forward_cpu(const at::Tensor& rows, const at::Tensor& added,
                                             const at::Tensor& scale, const at::Tensor& bias, double eps,
                                             double dropout, int64_t seed, bool saves) {
  const bool narrow = added.scalar_type() == at::kBFloat16;
  const int64_t M = rows.size(0);
  at::Tensor normed = at::empty_like(rows);  // [M, D]
  at::Tensor rounded = at::empty(narrow ? rows.sizes() : at::IntArrayRef{0}, added.options());
  at::Tensor moments = at::empty({saves ? M : 0, 2}, rows.options());  // [M, 2]
  add_norm_forward(arguments(rows, added, scale, bias, eps, dropout, seed), M,
                   {normed.mutable_data_ptr<float>(), narrow ? mutable_halves(rounded) : nullptr,
                    saves ? moments.mutable_data_ptr<float>() : nullptr});
  return {normed, rounded, moments};
}

std::vector<at::Tensor> add_norm_backward_cpu(const at::Tensor& d_normed, const at::Tensor& d_rounded,
                                              const at::Tensor& rows, const at::Tensor& added,
                                              const at::Tensor& scale, const at::Tensor& moments,
                                              double dropout, int64_t seed) {
  const bool narrow = added.scalar_type() == at::kBFloat16;
  const int64_t M = rows.size(0);
  at::Tensor d_rows = at::empty_like(rows);    // [M, D]
  at::Tensor d_added = at::empty_like(added);  // [M, D]
  at::Tensor sums = at::zeros({block_count(M), 2, rows.size(1)}, rows.options());
  const AddNormGradients gradients{d_normed.numel() > 0 ? d_normed.const_data_ptr<float>() : nullptr,
                                   d_rounded.numel() > 0 ? halves(d_rounded) : nullptr,
                                   moments.const_data_ptr<float>(),
                                   d_rows.mutable_data_ptr<float>(),
                                   narrow ? nullptr : d_added.mutable_data_ptr<float>(),
                                   narrow ? mutable_halves(d_added) : nullptr,
                                   nullptr};
  add_norm_backward(arguments(rows, added, scale, scale, 0, dropout, seed), M, gradients,
                    sums.mutable_data_ptr<float>());
  const at::Tensor d_scale_bias = sums.sum(0);  // [2, D]
  return {d_rows, d_added, d_scale_bias.select(0, 0), d_scale_bias.select(0, 1)};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_add_norm_forward", add_norm_forward_cpu);
  m.impl("_add_norm_backward", add_norm_backward_cpu);
}

}  // namespace

at::Tensor dropout_factors(at::IntArrayRef shape, double probability, int64_t seed) {
  at::Tensor factors = at::empty(shape, at::kFloat);
  core::dropout_factors(dropout_plan(probability, static_cast<uint64_t>(seed)), factors.numel(),
                        factors.mutable_data_ptr<float>());
  return factors;
}

}  // namespace albert_ner::ops
