#include "core/attention/attention_kernels.h"

#include <math.h>

#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

void read(const AttentionRows& from, int64_t rows, int64_t width, float factor, float* to) {
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t base = row * from.step;
    for (int64_t d = 0; d < width; d += kLanes) {
      const int64_t left = width - d;
      const Floats value = from.narrow != nullptr ? load_bfloat16(from.narrow + base + d, left)
                                                  : load_some(from.wide + base + d, left);
      store_some(to + row * width + d, factor * value, left);
    }
  }
}

void write(const float* from, int64_t step, int64_t rows, int64_t width, float factor,
           const MutableAttentionRows& to) {
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t base = row * to.step;
    for (int64_t d = 0; d < width; d += kLanes) {
      const int64_t left = width - d;
      const Floats value = factor * load_some(from + row * step + d, left);
      if (to.narrow != nullptr) {
        store_bfloat16(to.narrow + base + d, value, left);
      } else {
        store_some(to.wide + base + d, value, left);
      }
    }
  }
}

ALBERT_NER_INLINE float largest_lane(Floats value) {
  float largest = value[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = value[lane] > largest ? value[lane] : largest;
  return largest;
}

ALBERT_NER_INLINE float largest_of(const float* row, int64_t count) {
  Floats largest = broadcast(row[0]);
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    const Floats value = load(row + k);
    largest = value > largest ? value : largest;
  }
  float best = largest_lane(largest);
  for (; k < count; ++k) best = row[k] > best ? row[k] : best;
  return best;
}

/// row[k] = e^(row[k] - shift), 0 behind `valid`; returns their sum.
ALBERT_NER_INLINE float exponentials(float* row, int64_t columns, int64_t valid, float shift) {
  Floats sum = {};
  for (int64_t k = 0; k < columns; k += kLanes) {
    Floats value = exp(load(row + k) - shift);
    if (k + kLanes > valid) value = first_lanes(value, valid > k ? valid - k : 0);
    store(row + k, value);
    sum += value;
  }
  return sum_of_lanes(sum);
}

void softmax(const ScoreBlock& scores, float* log_sums) {
  for (int64_t r = 0; r < scores.rows; ++r) {
    float* row = scores.data + r * scores.columns;
    const float largest = largest_of(row, scores.valid);
    const float sum = exponentials(row, scores.columns, scores.valid, largest);
    const float inverse = 1.0f / sum;
    for (int64_t k = 0; k < scores.columns; k += kLanes) store(row + k, load(row + k) * inverse);
    log_sums[r] = largest + logf(sum);
  }
}

void probabilities(const ScoreBlock& scores, const float* log_sums) {
  for (int64_t r = 0; r < scores.rows; ++r) {
    exponentials(scores.data + r * scores.columns, scores.columns, scores.valid, log_sums[r]);
  }
}

void score_gradients(const ScoreBlock& d, const float* probabilities, const float* dots) {
  for (int64_t r = 0; r < d.rows; ++r) {
    float* row = d.data + r * d.columns;
    const float* p = probabilities + r * d.columns;
    for (int64_t k = 0; k < d.columns; k += kLanes) store(row + k, load(p + k) * (load(row + k) - dots[r]));
  }
}

void row_dots(const float* a, const float* b, int64_t rows, int64_t width, float* dots) {
  for (int64_t row = 0; row < rows; ++row) {
    Floats sum = {};
    for (int64_t d = 0; d < width; d += kLanes) {
      const int64_t left = width - d;
      sum += load_some(a + row * width + d, left) * load_some(b + row * width + d, left);
    }
    dots[row] = sum_of_lanes(sum);
  }
}

}  // namespace

extern const AttentionKernels kAttentionKernels;
const AttentionKernels kAttentionKernels{read, write, softmax, probabilities, score_gradients, row_dots};

}  // namespace albert_ner::core::ALBERT_NER_ISA
