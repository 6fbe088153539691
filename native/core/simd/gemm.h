// Products of float32 matrices on one thread, for layers that choose their own tasks: libtorch's allocate,
// and split the work as the number of threads happens to be. Row-major throughout. Equal operands give equal
// bits.
#pragma once

#include <cstdint>

namespace albert_ner::core {

struct GemmShape {
  int64_t rows;
  int64_t depth;
  int64_t columns;
};

/// The left operand: rows `step` floats apart.
struct GemmLeft {
  const float* data;
  int64_t step;
};

/// The right operand B [depth, columns] as it lies in memory: element (k, n) is
/// data[row(k) * depth_step + n * column_step] with row(k) = rows ? rows[k] : k, and 0 where rows[k] < 0. One
/// of the steps is 1.
struct GemmRight {
  const float* data;
  int64_t depth_step;
  int64_t column_step;
  const int32_t* rows = nullptr;
};

/// C [rows, columns], rows `step` floats apart.
struct GemmOutput {
  float* data;
  int64_t step;
  bool accumulates = false;  // C += instead of C =
};

struct GemmKernels {
  /// Columns are packed in panels of this many.
  int64_t panel_columns;

  /// B in panels [columns / panel_columns][depth][panel_columns], the last one filled up with zeros.
  void (*pack)(const GemmRight& b, int64_t depth, int64_t columns, float* packed);

  /// C = A B with A [rows, depth] and B packed.
  void (*multiply)(const GemmShape& shape, const GemmLeft& a, const float* packed, const GemmOutput& c);

  /// C = A^T B with A [depth, rows] and B as it lies; for weight gradients. At most kTransposedColumns
  /// columns.
  void (*multiply_transposed)(const GemmShape& shape, const GemmLeft& a, const GemmRight& b,
                              const GemmOutput& c);

  int64_t packed_floats(int64_t depth, int64_t columns) const {
    return (columns + panel_columns - 1) / panel_columns * panel_columns * depth;
  }
};

/// Bounds the packed operands of multiply_transposed.
constexpr int64_t kTransposedColumns = 256;

/// Uninitialised floats on a cache line, for packed parts of the operands: hundreds of kilobytes, more than the
/// stacks that some systems give threads. Each thread has its own and keeps it for the next product. Throws
/// std::bad_alloc.
float* gemm_room(int64_t count);

/// The kernels of the instruction set in use.
const GemmKernels& gemm_kernels();

}  // namespace albert_ner::core
