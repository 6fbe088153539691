// The public gelu_tanh operator: schema, validation, dispatch.

#include "torch/ops/gelu/gelu.h"

#include <ATen/ops/gelu.h>
#include <torch/library.h>

#include "torch/ops/gelu/gelu_autograd.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {

at::Tensor gelu_tanh(const at::Tensor& rows) {
  const at::ScalarType dtype = rows.scalar_type();
  check_argument(dtype == at::kFloat || dtype == at::kBFloat16, "rows", "dtype Float or BFloat16",
                 c10::toString(dtype));
  check_tensor(rows, "rows", rows.sizes(), dtype, rows.device());
  return rows.is_cpu() ? GeluTanhFunction::apply(rows) : at::gelu(rows, "tanh");
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def("gelu_tanh(Tensor rows) -> Tensor");
  m.def("_gelu_tanh_forward(Tensor rows) -> Tensor");
  m.def("_gelu_tanh_backward(Tensor d_output, Tensor rows) -> Tensor");
}

TORCH_LIBRARY_IMPL(albert_ner, CompositeImplicitAutograd, m) {
  m.impl("gelu_tanh", gelu_tanh);
}

}  // namespace albert_ner::ops
