// CPU kernels of attention: a task is one head of one sequence, done in blocks of rows so that the scores of
// a block stay in the cache from product to product.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "ops/attention/attention_kernels.h"
#include "ops/support/buffer.h"
#include "ops/support/gemm.h"
#include "ops/support/isa.h"

namespace albert_ner::ops {

ALBERT_NER_DECLARE_KERNELS(AttentionKernels, kAttentionKernels)

const AttentionKernels& attention_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kAttentionKernels);
}

namespace {

constexpr int64_t kRows = 64;  // of a block

/// Where the rows of a tensor lie, from column `column` of row `row` on.
template <typename Rows>
Rows rows_at(const at::Tensor& tensor, int64_t row, int64_t column) {
  const int64_t step = tensor.size(1);
  const int64_t offset = row * step + column;
  if (tensor.scalar_type() == at::kFloat) {
    return {static_cast<float*>(tensor.data_ptr()) + offset, nullptr, step};
  }
  return {nullptr, static_cast<uint16_t*>(tensor.data_ptr()) + offset, step};
}

/// One head of one sequence.
struct HeadTask {
  int64_t row;     // first of the sequence
  int64_t length;  // T
  int64_t column;  // first of the head
  int64_t width;   // W
  float* log_sums;

  float scale() const { return 1 / std::sqrt(static_cast<float>(width)); }
};

int64_t padded(int64_t columns) {
  const int64_t panel = gemm_kernels().panel_columns;
  return (columns + panel - 1) / panel * panel;
}

/// Matrices of a task; a thread keeps the room.
class Workspace {
 public:
  /// [rows, columns]
  float* matrix(size_t place, int64_t rows, int64_t columns) {
    if (places_.size() <= place) places_.resize(place + 1);
    return places_[place].reserve(rows * columns);
  }

  /// A right operand; element (k, n) of it is data[k * depth_step + n * column_step].
  float* packed(size_t place, const GemmRight& right, int64_t depth, int64_t columns) {
    float* panels = matrix(place, depth, padded(columns));
    gemm_kernels().pack(right, depth, columns, panels);
    return panels;
  }

 private:
  std::vector<Buffer<float>> places_;
};

Workspace& workspace() {
  static thread_local Workspace own;
  return own;
}

struct AttentionInputs {
  const at::Tensor& query;
  const at::Tensor& key;
  const at::Tensor& value;
};

/// Rows [T, W] of one head of one sequence in float32, in a thread's workspace.
struct TaskRows {
  Workspace& room;
  const HeadTask& task;

  const float* read(size_t place, const at::Tensor& tensor, float factor = 1) {
    float* rows = room.matrix(place, task.length, task.width);
    attention_kernels().read(rows_at<AttentionRows>(tensor, task.row, task.column), task.length, task.width,
                             factor, rows);
    return rows;
  }
};

void forward_task(const AttentionInputs& inputs, const HeadTask& task, const at::Tensor& output) {
  const GemmKernels& gemm = gemm_kernels();
  const AttentionKernels& kernels = attention_kernels();
  Workspace& room = workspace();
  const int64_t T = task.length;
  const int64_t W = task.width;
  const int64_t columns = padded(T);
  TaskRows rows_of{room, task};
  const float* query = rows_of.read(0, inputs.query, task.scale());  // [T, W]
  const float* key = rows_of.read(1, inputs.key);
  const float* value = rows_of.read(2, inputs.value);
  const float* packed_key = room.packed(3, {key, 1, W}, W, T);
  const float* packed_value = room.packed(4, {value, W, 1}, T, W);
  float* scores = room.matrix(5, kRows, columns);
  float* mixed = room.matrix(6, kRows, padded(W));
  for (int64_t first = 0; first < T; first += kRows) {
    const int64_t rows = std::min(kRows, T - first);
    gemm.multiply({rows, W, columns}, {query + first * W, W}, packed_key, {scores, columns});
    kernels.softmax({scores, rows, columns, T}, task.log_sums + first);
    gemm.multiply({rows, T, padded(W)}, {scores, columns}, packed_value, {mixed, padded(W)});
    kernels.write(mixed, padded(W), rows, W, 1,
                  rows_at<MutableAttentionRows>(output, task.row + first, task.column));
  }
}

struct AttentionGradients {
  const at::Tensor& d_query;
  const at::Tensor& d_key;
  const at::Tensor& d_value;
};

void backward_task(const AttentionInputs& inputs, const HeadTask& task, const at::Tensor& output,
                   const at::Tensor& d_output, const AttentionGradients& gradients) {
  const GemmKernels& gemm = gemm_kernels();
  const AttentionKernels& kernels = attention_kernels();
  Workspace& room = workspace();
  const int64_t T = task.length;
  const int64_t W = task.width;
  const int64_t columns = padded(T);
  TaskRows rows_of{room, task};
  const float* query = rows_of.read(0, inputs.query, task.scale());  // [T, W]
  const float* key = rows_of.read(1, inputs.key);
  const float* value = rows_of.read(2, inputs.value);
  const float* d_mixed = rows_of.read(3, d_output);
  const float* mixed = rows_of.read(4, output);
  float* dots = room.matrix(5, T, 1);
  kernels.row_dots(d_mixed, mixed, T, W, dots);
  const float* packed_key_transposed = room.packed(6, {key, 1, W}, W, T);
  const float* packed_key = room.packed(7, {key, W, 1}, T, W);
  const float* packed_value_transposed = room.packed(8, {value, 1, W}, W, T);
  float* probabilities = room.matrix(9, kRows, columns);
  float* d_scores = room.matrix(10, kRows, columns);
  float* d_query = room.matrix(11, kRows, padded(W));
  float* d_key = room.matrix(12, T, W);
  float* d_value = room.matrix(13, T, W);
  for (int64_t first = 0; first < T; first += kRows) {
    const int64_t rows = std::min(kRows, T - first);
    const bool adds = first > 0;
    const float* query_block = query + first * W;
    const float* d_mixed_block = d_mixed + first * W;
    gemm.multiply({rows, W, columns}, {query_block, W}, packed_key_transposed, {probabilities, columns});
    kernels.probabilities({probabilities, rows, columns, T}, task.log_sums + first);
    gemm.multiply_transposed({T, rows, W}, {probabilities, columns}, {d_mixed_block, W, 1},
                             {d_value, W, adds});
    gemm.multiply({rows, W, columns}, {d_mixed_block, W}, packed_value_transposed, {d_scores, columns});
    kernels.score_gradients({d_scores, rows, columns, T}, probabilities, dots + first);
    gemm.multiply_transposed({T, rows, W}, {d_scores, columns}, {query_block, W, 1}, {d_key, W, adds});
    gemm.multiply({rows, T, padded(W)}, {d_scores, columns}, packed_key, {d_query, padded(W)});
    kernels.write(d_query, padded(W), rows, W, task.scale(),
                  rows_at<MutableAttentionRows>(gradients.d_query, task.row + first, task.column));
  }
  kernels.write(d_key, W, T, W, 1, rows_at<MutableAttentionRows>(gradients.d_key, task.row, task.column));
  kernels.write(d_value, W, T, W, 1, rows_at<MutableAttentionRows>(gradients.d_value, task.row, task.column));
}

/// body(task) for each head of each sequence, in parallel. log_sums [heads, M].
template <typename Body>
void for_each_head(const at::Tensor& query, at::IntArrayRef lengths, int64_t heads,
                   const at::Tensor& log_sums, Body body) {
  const int64_t M = query.size(0);
  const int64_t W = query.size(1) / heads;
  std::vector<int64_t> firsts(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), firsts.begin(), int64_t{0});
  float* sums = log_sums.mutable_data_ptr<float>();
  // Threads take the next task when they are done with one; tasks share nothing, so the order is no matter.
  std::atomic<int64_t> next{0};
  const int64_t tasks = static_cast<int64_t>(lengths.size()) * heads;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), tasks);
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < tasks; task = next++) {
      const int64_t b = task / heads;
      const int64_t head = task % heads;
      if (lengths[b] == 0) continue;
      body(HeadTask{firsts[b], lengths[b], head * W, W, sums + head * M + firsts[b]});
    }
  });
}

std::tuple<at::Tensor, at::Tensor> attention_forward(const at::Tensor& query, const at::Tensor& key,
                                                     const at::Tensor& value, at::IntArrayRef lengths,
                                                     int64_t heads) {
  at::Tensor output = at::empty_like(query);                                                   // [M, D]
  at::Tensor log_sums = at::empty({heads, query.size(0)}, query.options().dtype(at::kFloat));  // [heads, M]
  for_each_head(query, lengths, heads, log_sums,
                [&](const HeadTask& task) { forward_task({query, key, value}, task, output); });
  return {output, log_sums};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward(
    const at::Tensor& d_output, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const at::Tensor& output, const at::Tensor& log_sums, at::IntArrayRef lengths, int64_t heads) {
  at::Tensor d_query = at::empty_like(query);  // each [M, D]
  at::Tensor d_key = at::empty_like(query);
  at::Tensor d_value = at::empty_like(query);
  for_each_head(query, lengths, heads, log_sums, [&](const HeadTask& task) {
    backward_task({query, key, value}, task, output, d_output, {d_query, d_key, d_value});
  });
  return {d_query, d_key, d_value};
}

TORCH_LIBRARY_IMPL(albert_ner, CPU, m) {
  m.impl("_attention_forward", attention_forward);
  m.impl("_attention_backward", attention_backward);
}

}  // namespace
}  // namespace albert_ner::ops
