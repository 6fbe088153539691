// The public add_norm operator: schema, validation, dispatch.

#include "torch/ops/add_norm/add_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/layer_norm.h>
#include <torch/library.h>

#include "torch/ops/add_norm/add_norm_autograd.h"
#include "torch/support/on_device.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

std::vector<at::Tensor> composed(const at::Tensor& rows, const at::Tensor& added, const at::Tensor& scale,
                                 const at::Tensor& bias, double eps, double dropout, int64_t seed) {
  at::Tensor kept = added.to(at::kFloat);
  // Made on the CPU, so that a seed means the same on every device.
  if (dropout > 0) kept = kept * on_device(dropout_factors(rows.sizes(), dropout, seed), rows.device());
  const at::Tensor normed = at::layer_norm(rows + kept, scale.sizes(), scale, bias, eps);
  if (added.scalar_type() != at::kBFloat16) return {normed};
  return {normed, normed.to(at::kBFloat16)};
}

bool needs_grad(const at::Tensor& rows, const at::Tensor& added, const at::Tensor& scale,
                const at::Tensor& bias) {
  return at::GradMode::is_enabled() &&
         (rows.requires_grad() || added.requires_grad() || scale.requires_grad() || bias.requires_grad());
}

}  // namespace

std::vector<at::Tensor> add_norm(const at::Tensor& rows, const at::Tensor& added, const at::Tensor& scale,
                                 const at::Tensor& bias, double eps, double dropout, int64_t seed) {
  if (rows.dim() != 2) throw_invalid("rows", "2 dimensions", shape_text(rows.sizes()));
  check_tensor(rows, "rows", rows.sizes(), at::kFloat, rows.device());
  const at::ScalarType dtype = added.scalar_type();
  check_argument(dtype == at::kFloat || dtype == at::kBFloat16, "added", "dtype Float or BFloat16",
                 c10::toString(dtype));
  check_tensor(added, "added", rows.sizes(), dtype, rows.device());
  check_tensor(scale, "scale", {rows.size(1)}, at::kFloat, rows.device());
  check_tensor(bias, "bias", {rows.size(1)}, at::kFloat, rows.device());
  check_argument(dropout >= 0 && dropout < 1, "dropout", "a probability in [0, 1)", dropout);
  if (!rows.is_cpu()) return composed(rows, added, scale, bias, eps, dropout, seed);
  return AddNormFunction::apply(rows, added, scale, bias, eps, dropout, seed,
                                needs_grad(rows, added, scale, bias));
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def(
      "add_norm(Tensor rows, Tensor added, Tensor scale, Tensor bias, float eps, float dropout, int seed) "
      "-> Tensor[]");
  m.def(
      "_add_norm_forward(Tensor rows, Tensor added, Tensor scale, Tensor bias, float eps, float dropout, "
      "int seed, bool saves) -> Tensor[]");
  m.def(
      "_add_norm_backward(Tensor d_normed, Tensor d_rounded, Tensor rows, Tensor added, Tensor scale, "
      "Tensor moments, float dropout, int seed) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(albert_ner, CompositeImplicitAutograd, m) {
  m.impl("add_norm", add_norm);
}

}  // namespace albert_ner::ops
