// Rows of add_norm and factors of dropout. Compiled once per instruction set.
#pragma once

#include <cstdint>

namespace albert_ner::core {

struct DropoutPlan {
  uint64_t seed;
  uint32_t dropped;  // of 2^16; 0: no dropout
  float kept;        // factor of what isn't dropped
};

/// Rows in float32 or, if `narrow` is set instead, in bfloat16.
struct AddedRows {
  const float* wide;
  const uint16_t* narrow;
};

struct AddNormArgs {
  int64_t D;
  const float* rows_md;
  AddedRows added_md;
  const float* scale_d;
  const float* bias_d;
  float eps;
  DropoutPlan dropout;
  float* scratch;  // [2, D] for each call at a time
};

struct AddNormOutput {
  float* normed_md;
  uint16_t* narrow_md;  // null: not wanted
  float* moments_m2;    // mean and 1 / deviation of each sum; null: not wanted
};

struct AddNormGradients {
  const float* d_normed_md;     // null: zero
  const uint16_t* d_narrow_md;  // null: zero
  const float* moments_m2;      // as forward left them
  float* d_rows_md;
  float* d_added_wide_md;  // one of the two, as `added` is
  uint16_t* d_added_narrow_md;
  float* d_scale_bias_2d;  // added to
};

struct AddNormKernels {
  /// factors[k] of element first + k, for `count` elements.
  void (*dropout_factors)(const DropoutPlan& plan, int64_t first, int64_t count, float* factors);
  /// Rows first .. first + count - 1; every pointer is to row 0.
  void (*forward)(const AddNormArgs& args, int64_t first, int64_t count, const AddNormOutput& output);
  void (*backward)(const AddNormArgs& args, int64_t first, int64_t count, const AddNormGradients& gradients);
};

/// The kernels of the instruction set in use.
const AddNormKernels& add_norm_kernels();

}  // namespace albert_ner::core
