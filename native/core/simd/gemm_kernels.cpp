// Matrix products in register tiles of kTileRows x kTileColumns. Compiled once per instruction set.
//
// The accumulators of a tile are indexed by constants only, in every loop: one that the compiler leaves
// rolled puts the tile into memory and costs a factor of three.

#include "core/simd/gemm.h"
#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

// Two vectors wide; as high as the registers allow with room for two vectors of B and one element of A.
constexpr int kTileRows = kVectorRegisters == 32 ? 14 : 6;
constexpr int kTileColumns = 2 * kLanes;
#define ALBERT_NER_UNROLL _Pragma("GCC unroll 16")

// Steps of the depth per pass: a panel of B, 256 x 32 floats at the widest, is most of a first-level cache.
constexpr int64_t kDepth = 256;  // a depth of 0 takes one empty pass, which writes zeros
// Rows of A per block, which stays in the second-level cache while the panels pass.
constexpr int64_t kBlockRows = 8 * kTileRows;
// Rows of a block lie this far apart: not a power of two, or they would compete for the same cache lines.
constexpr int64_t kRowStep = kDepth + 16;

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

struct Target {
  float* c;
  int64_t step;
  bool accumulates;
};

/// C [R, kTileColumns] = A [R, depth] B [depth, kTileColumns]; element (r, k) of A is
/// a[r * RowStep + k * DepthStep]. A function of its own, so that nothing else asks for registers.
template <int R, int64_t RowStep, int64_t DepthStep>
__attribute__((noinline)) void multiply_tile(const float* a, const float* b, int64_t depth,
                                             const Target& target) {
  Floats left[R] = {};
  Floats right[R] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const Floats b_left = load(b + k * kTileColumns);
    const Floats b_right = load(b + k * kTileColumns + kLanes);
    ALBERT_NER_UNROLL
    for (int r = 0; r < R; ++r) {
      const Floats element = broadcast(a[r * RowStep + k * DepthStep]);
      left[r] += element * b_left;
      right[r] += element * b_right;
    }
  }
  ALBERT_NER_UNROLL
  for (int r = 0; r < R; ++r) {
    float* row = target.c + r * target.step;
    store(row, target.accumulates ? load(row) + left[r] : left[r]);
    store(row + kLanes, target.accumulates ? load(row + kLanes) + right[r] : right[r]);
  }
}

/// The same for a number of rows that is known at run time only.
template <int R, int64_t RowStep, int64_t DepthStep>
ALBERT_NER_INLINE void multiply_rows(int64_t rows, const float* a, const float* b, int64_t depth,
                                     const Target& target) {
  if (rows == R) return multiply_tile<R, RowStep, DepthStep>(a, b, depth, target);
  if constexpr (R > 1) multiply_rows<R - 1, RowStep, DepthStep>(rows, a, b, depth, target);
}

/// A block of up to kBlockRows rows times one panel of which `columns` columns exist.
template <int64_t RowStep, int64_t DepthStep, int64_t TileStep>
void multiply_panel(int64_t rows, const float* block, const float* panel, int64_t depth, int64_t columns,
                    const Target& target) {
  float spare[kTileRows * kTileColumns];
  for (int64_t r = 0; r < rows; r += kTileRows, block += TileStep) {
    const int64_t height = smaller(kTileRows, rows - r);
    float* c = target.c + r * target.step;
    if (columns == kTileColumns) {
      multiply_rows<kTileRows, RowStep, DepthStep>(height, block, panel, depth,
                                                   {c, target.step, target.accumulates});
      continue;
    }
    multiply_rows<kTileRows, RowStep, DepthStep>(height, block, panel, depth, {spare, kTileColumns, false});
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t n = 0; n < columns; ++n) {
        float& to = c[i * target.step + n];
        to = spare[i * kTileColumns + n] + (target.accumulates ? to : 0.0f);
      }
    }
  }
}

void pack(const GemmRight& b, int64_t depth, int64_t columns, float* packed) {
  for (int64_t first = 0; first < columns; first += kTileColumns) {
    const int64_t width = smaller(kTileColumns, columns - first);
    for (int64_t k = 0; k < depth; ++k, packed += kTileColumns) {
      const int64_t row = b.rows ? b.rows[k] : k;
      const float* from = b.data + row * b.depth_step + first * b.column_step;
      if (row >= 0 && width == kTileColumns && b.column_step == 1) {
        store(packed, load(from));
        store(packed + kLanes, load(from + kLanes));
      } else {
        const int64_t valid = row < 0 ? 0 : width;
        for (int64_t n = 0; n < valid; ++n) packed[n] = from[n * b.column_step];
        for (int64_t n = valid; n < kTileColumns; ++n) packed[n] = 0;
      }
    }
  }
}

void multiply(const GemmShape& shape, const GemmLeft& a, const float* packed, const GemmOutput& c) {
  float* block = gemm_room(kBlockRows * kRowStep);
  for (int64_t row0 = 0; row0 < shape.rows; row0 += kBlockRows) {
    const int64_t rows = smaller(kBlockRows, shape.rows - row0);
    for (int64_t k0 = 0; k0 == 0 || k0 < shape.depth; k0 += kDepth) {
      const int64_t depth = smaller(kDepth, shape.depth - k0);
      for (int64_t r = 0; r < rows; ++r) {
        __builtin_memcpy(block + r * kRowStep, a.data + (row0 + r) * a.step + k0, depth * sizeof(float));
      }
      for (int64_t column = 0; column < shape.columns; column += kTileColumns) {
        const float* panel = packed + column * shape.depth + k0 * kTileColumns;
        multiply_panel<kRowStep, 1, kTileRows * kRowStep>(
            rows, block, panel, depth, smaller(kTileColumns, shape.columns - column),
            {c.data + row0 * c.step + column, c.step, c.accumulates || k0 > 0});
      }
    }
  }
}

/// Rows of C become tiles [depth][kTileRows]; a tail reads only its own rows.
void pack_left_transposed(const GemmLeft& a, int64_t row0, int64_t rows, int64_t k0, int64_t depth,
                          float* block) {
  for (int64_t r = 0; r < rows; r += kTileRows, block += kDepth * kTileRows) {
    const int64_t height = smaller(kTileRows, rows - r);
    for (int64_t k = 0; k < depth; ++k) {
      const float* from = a.data + (k0 + k) * a.step + row0 + r;
      float* to = block + k * kTileRows;
      if (height == kTileRows) {
        __builtin_memcpy(to, from, kTileRows * sizeof(float));
      } else {
        for (int64_t i = 0; i < height; ++i) to[i] = from[i];
      }
    }
  }
}

void multiply_transposed(const GemmShape& shape, const GemmLeft& a, const GemmRight& b, const GemmOutput& c) {
  float* block = gemm_room(kBlockRows * kDepth + kDepth * kTransposedColumns);
  float* packed = block + kBlockRows * kDepth;  // whole cache lines behind it
  for (int64_t k0 = 0; k0 == 0 || k0 < shape.depth; k0 += kDepth) {
    const int64_t depth = smaller(kDepth, shape.depth - k0);
    GemmRight slice = b;
    if (b.rows) {
      slice.rows += k0;
    } else {
      slice.data += k0 * b.depth_step;
    }
    pack(slice, depth, shape.columns, packed);
    for (int64_t row0 = 0; row0 < shape.rows; row0 += kBlockRows) {
      const int64_t rows = smaller(kBlockRows, shape.rows - row0);
      pack_left_transposed(a, row0, rows, k0, depth, block);
      for (int64_t column = 0; column < shape.columns; column += kTileColumns) {
        const float* panel = packed + column * depth;
        multiply_panel<1, kTileRows, kTileRows * kDepth>(
            rows, block, panel, depth, smaller(kTileColumns, shape.columns - column),
            {c.data + row0 * c.step + column, c.step, c.accumulates || k0 > 0});
      }
    }
  }
}

}  // namespace

extern const GemmKernels kGemmKernels;
const GemmKernels kGemmKernels{kTileColumns, pack, multiply, multiply_transposed};

}  // namespace albert_ner::core::ALBERT_NER_ISA
