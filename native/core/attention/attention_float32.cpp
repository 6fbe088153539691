#include "core/attention/attention_float32.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "core/simd/buffer.h"
#include "core/simd/gemm.h"
#include "core/simd/isa.h"

namespace albert_ner::core {

static_assert(kLargestHeadWidth <= kTransposedColumns);

ALBERT_NER_DECLARE_KERNELS(AttentionKernels, kAttentionKernels)

const AttentionKernels& attention_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kAttentionKernels);
}

namespace {

constexpr int64_t kRows = 64;  // of a block

/// One head of one sequence.
struct HeadTask {
  int64_t row;     // first of the sequence
  int64_t length;  // T
  int64_t column;  // first of the head
  int64_t width;   // W
  int64_t sums;    // place of its first log sum

  float scale() const { return 1 / std::sqrt(static_cast<float>(width)); }
};

/// The rows from row `row` of the task's sequence on, of its head.
template <typename Rows>
Rows rows_of(const Rows& all, const HeadTask& task, int64_t row = 0) {
  const int64_t offset = (task.row + row) * all.step + task.column;
  return {all.wide == nullptr ? nullptr : all.wide + offset,
          all.narrow == nullptr ? nullptr : all.narrow + offset, all.step};
}

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

  /// Rows [T, W] of the task in float32.
  const float* read(size_t place, const AttentionRows& rows, const HeadTask& task, float factor = 1) {
    float* wide = matrix(place, task.length, task.width);
    attention_kernels().read(rows_of(rows, task), task.length, task.width, factor, wide);
    return wide;
  }

 private:
  std::vector<Buffer<float>> places_;
};

Workspace& workspace() {
  static thread_local Workspace own;
  return own;
}

void forward_task(const AttentionInputs& inputs, const HeadTask& task, const MutableAttentionRows& output,
                  float* log_sums) {
  const GemmKernels& gemm = gemm_kernels();
  const AttentionKernels& kernels = attention_kernels();
  Workspace& room = workspace();
  const int64_t T = task.length;
  const int64_t W = task.width;
  const int64_t columns = padded(T);
  const float* query = room.read(0, inputs.query, task, task.scale());  // [T, W]
  const float* key = room.read(1, inputs.key, task);
  const float* value = room.read(2, inputs.value, task);
  const float* packed_key = room.packed(3, {key, 1, W}, W, T);
  const float* packed_value = room.packed(4, {value, W, 1}, T, W);
  float* scores = room.matrix(5, kRows, columns);
  float* mixed = room.matrix(6, kRows, padded(W));
  float* sums = room.matrix(7, kRows, 1);
  for (int64_t first = 0; first < T; first += kRows) {
    const int64_t rows = std::min(kRows, T - first);
    gemm.multiply({rows, W, columns}, {query + first * W, W}, packed_key, {scores, columns});
    kernels.softmax({scores, rows, columns, T}, log_sums == nullptr ? sums : log_sums + task.sums + first);
    gemm.multiply({rows, T, padded(W)}, {scores, columns}, packed_value, {mixed, padded(W)});
    kernels.write(mixed, padded(W), rows, W, 1, rows_of(output, task, first));
  }
}

void backward_task(const AttentionInputs& inputs, const HeadTask& task, const AttentionResult& result,
                   const AttentionGradients& gradients) {
  const GemmKernels& gemm = gemm_kernels();
  const AttentionKernels& kernels = attention_kernels();
  Workspace& room = workspace();
  const int64_t T = task.length;
  const int64_t W = task.width;
  const int64_t columns = padded(T);
  const float* query = room.read(0, inputs.query, task, task.scale());  // [T, W]
  const float* key = room.read(1, inputs.key, task);
  const float* value = room.read(2, inputs.value, task);
  const float* d_mixed = room.read(3, result.d_output, task);
  const float* mixed = room.read(4, result.output, task);
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
    kernels.probabilities({probabilities, rows, columns, T}, result.log_sums + task.sums + first);
    gemm.multiply_transposed({T, rows, W}, {probabilities, columns}, {d_mixed_block, W, 1},
                             {d_value, W, adds});
    gemm.multiply({rows, W, columns}, {d_mixed_block, W}, packed_value_transposed, {d_scores, columns});
    kernels.score_gradients({d_scores, rows, columns, T}, probabilities, dots + first);
    gemm.multiply_transposed({T, rows, W}, {d_scores, columns}, {query_block, W, 1}, {d_key, W, adds});
    gemm.multiply({rows, T, padded(W)}, {d_scores, columns}, packed_key, {d_query, padded(W)});
    kernels.write(d_query, padded(W), rows, W, task.scale(), rows_of(gradients.d_query, task, first));
  }
  kernels.write(d_key, W, T, W, 1, rows_of(gradients.d_key, task));
  kernels.write(d_value, W, T, W, 1, rows_of(gradients.d_value, task));
}

/// body(task) for each head of each sequence, in parallel.
template <typename Body>
void for_each_head(const AttentionShape& shape, Body body) {
  std::vector<int64_t> firsts(static_cast<size_t>(shape.B));
  std::exclusive_scan(shape.lengths, shape.lengths + shape.B, firsts.begin(), int64_t{0});
  for_each_task_in_turn(shape.B * shape.heads, [&](int64_t task, int64_t) {
    const int64_t b = task / shape.heads;
    const int64_t head = task % shape.heads;
    if (shape.lengths[b] == 0) return;
    const int64_t row = firsts[static_cast<size_t>(b)];
    body(HeadTask{row, shape.lengths[b], head * shape.width, shape.width, head * shape.M + row});
  });
}

}  // namespace

void attention_forward(const AttentionShape& shape, const AttentionInputs& inputs,
                       const MutableAttentionRows& output, float* log_sums) {
  for_each_head(shape, [&](const HeadTask& task) { forward_task(inputs, task, output, log_sums); });
}

void attention_backward(const AttentionShape& shape, const AttentionInputs& inputs,
                        const AttentionResult& result, const AttentionGradients& gradients) {
  for_each_head(shape, [&](const HeadTask& task) { backward_task(inputs, task, result, gradients); });
}

}  // namespace albert_ner::core
