// The public attention operator: schema, validation, dispatch, and the composition of libtorch's operators
// for what has no kernels here.

#include "torch/ops/attention/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/library.h>

#include <numeric>
#include <vector>

#include "core/attention/attention_float32.h"
#include "torch/ops/attention/attention_autograd.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {
namespace {

/// One call per stretch of equal lengths: nothing is padded. Splitting, not slicing: the gradient of a split
/// is one copy.
at::Tensor composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    at::IntArrayRef lengths, int64_t heads) {
  const int64_t D = query.size(1);
  std::vector<int64_t> counts;
  std::vector<int64_t> rows;
  for (size_t first = 0; first < lengths.size();) {
    size_t last = first;
    while (last < lengths.size() && lengths[last] == lengths[first]) ++last;
    if (lengths[first] > 0) {
      counts.push_back(static_cast<int64_t>(last - first));
      rows.push_back(counts.back() * lengths[first]);
    }
    first = last;
  }
  const std::vector<at::Tensor> queries = query.split_with_sizes(rows);
  const std::vector<at::Tensor> keys = key.split_with_sizes(rows);
  const std::vector<at::Tensor> values = value.split_with_sizes(rows);
  std::vector<at::Tensor> pieces;
  for (size_t k = 0; k < counts.size(); ++k) {
    const int64_t T = rows[k] / counts[k];
    auto by_head = [&](const at::Tensor& piece) {
      return piece.view({counts[k], T, heads, D / heads}).transpose(1, 2);  // [n, heads, T, width]
    };
    const at::Tensor mixed =
        at::scaled_dot_product_attention(by_head(queries[k]), by_head(keys[k]), by_head(values[k]));
    pieces.push_back(mixed.transpose(1, 2).reshape({rows[k], D}));
  }
  if (pieces.empty()) return query.clone();
  return pieces.size() == 1 ? pieces.front() : at::cat(pieces);
}

}  // namespace

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     at::IntArrayRef lengths, int64_t heads) {
  const at::ScalarType dtype = query.scalar_type();
  if (query.dim() != 2) throw_invalid("query", "2 dimensions", shape_text(query.sizes()));
  check_argument(dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16, "query",
                 "dtype Float, Double or BFloat16", c10::toString(dtype));
  check_tensor(query, "query", query.sizes(), dtype, query.device());
  check_tensor(key, "key", query.sizes(), dtype, query.device());
  check_tensor(value, "value", query.sizes(), dtype, query.device());
  check_argument(heads >= 1 && query.size(1) % heads == 0, "heads", "a divisor of the width", heads);
  for (int64_t length : lengths) check_argument(length >= 0, "lengths", "numbers of rows", length);
  const int64_t rows = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  if (rows != query.size(0))
    throw_invalid("lengths", "a sum of " + std::to_string(query.size(0)), std::to_string(rows));
  const bool has_kernels =
      query.is_cpu() && dtype != at::kDouble && query.size(1) / heads <= kLargestHeadWidth;
  if (!has_kernels) return composed(query, key, value, lengths, heads);
  return AttentionFunction::apply(query, key, value, lengths, heads);
}

TORCH_LIBRARY_FRAGMENT(albert_ner, m) {
  m.def("attention(Tensor query, Tensor key, Tensor value, int[] lengths, int heads) -> Tensor");
  m.def(
      "_attention_forward(Tensor query, Tensor key, Tensor value, int[] lengths, int heads) "
      "-> (Tensor output, Tensor log_sums)");
  m.def(
      "_attention_backward(Tensor d_output, Tensor query, Tensor key, Tensor value, Tensor output, "
      "Tensor log_sums, int[] lengths, int heads) -> (Tensor d_query, Tensor d_key, Tensor d_value)");
}

TORCH_LIBRARY_IMPL(albert_ner, CompositeImplicitAutograd, m) {
  m.impl("attention", attention);
}

}  // namespace albert_ner::ops
