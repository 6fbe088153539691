// What attention does to the scores of a block of rows between its products. Compiled once per instruction
// set.
#pragma once

#include <cstdint>

namespace albert_ner::core {

/// Rows `step` elements apart, in float32 or, if `narrow` is set instead, in bfloat16.
struct AttentionRows {
  const float* wide;
  const uint16_t* narrow;
  int64_t step;
};

struct MutableAttentionRows {
  float* wide;
  uint16_t* narrow;
  int64_t step;
};

/// Scores [rows, columns] of which only the first `valid` columns count; the products fill whole panels.
struct ScoreBlock {
  float* data;
  int64_t rows;
  int64_t columns;
  int64_t valid;
};

struct AttentionKernels {
  /// to [rows, width] = factor * from.
  void (*read)(const AttentionRows& from, int64_t rows, int64_t width, float factor, float* to);
  /// to [rows, width] = factor * from, whose rows are `step` floats apart.
  void (*write)(const float* from, int64_t step, int64_t rows, int64_t width, float factor,
                const MutableAttentionRows& to);
  /// Scores to probabilities; log_sums [rows] of the exponentials.
  void (*softmax)(const ScoreBlock& scores, float* log_sums);
  /// The same with the log sums known.
  void (*probabilities)(const ScoreBlock& scores, const float* log_sums);
  /// d = p * (d - dot), dots [rows]: from the gradient of probabilities to that of scores.
  void (*score_gradients)(const ScoreBlock& d, const float* probabilities, const float* dots);
  /// dots[r] = a[r] . b[r], both [rows, width].
  void (*row_dots)(const float* a, const float* b, int64_t rows, int64_t width, float* dots);
};

/// The kernels of the instruction set in use.
const AttentionKernels& attention_kernels();

}  // namespace albert_ner::core
