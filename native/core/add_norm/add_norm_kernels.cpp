// Rows of add_norm: each is summed, normalised and, backward, recomputed from what went in, so that nothing
// of the size of the rows is kept for the gradient.

#include "core/add_norm/add_norm_kernels.h"

#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

typedef uint64_t Longs __attribute__((vector_size(kVectorBytes)));

constexpr int64_t kDraws = kVectorBytes / 8;
/// 16 bits each.
constexpr int64_t kPerDraw = 4;
constexpr int64_t kPerVector = kDraws * kPerDraw;

constexpr uint64_t kPlaces[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/// splitmix64 of the draws `first` and following.
ALBERT_NER_INLINE Longs draws_from(uint64_t seed, int64_t first) {
  Longs bits;
  __builtin_memcpy(&bits, kPlaces, sizeof(bits));
  bits = seed + (bits + static_cast<uint64_t>(first + 1)) * 0x9e3779b97f4a7c15ULL;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
  return bits ^ (bits >> 31);
}

/// Factors of the elements of the draws `draw` and following.
ALBERT_NER_INLINE void factors_of_draws(const DropoutPlan& plan, int64_t draw, float* factors) {
  const Longs bits = draws_from(plan.seed, draw);
  Halves halves[2];
  __builtin_memcpy(halves, &bits, sizeof(bits));
  const Floats kept = broadcast(plan.kept);
  for (int half = 0; half < 2; ++half) {
    const Ints dropped = __builtin_convertvector(halves[half], Ints) < static_cast<int32_t>(plan.dropped);
    store(factors + half * kLanes, dropped ? Floats{} : kept);
  }
}

void dropout_factors(const DropoutPlan& plan, int64_t first, int64_t count, float* factors) {
  float some[kPerVector];
  // Elements before a draw's first are computed with it and left out.
  for (int64_t done = 0; done < count;) {
    const int64_t element = first + done;
    const int64_t skipped = element % kPerDraw;
    const int64_t left = count - done;
    if (skipped == 0 && left >= kPerVector) {
      factors_of_draws(plan, element / kPerDraw, factors + done);
      done += kPerVector;
      continue;
    }
    factors_of_draws(plan, element / kPerDraw, some);
    const int64_t usable = kPerVector - skipped < left ? kPerVector - skipped : left;
    for (int64_t k = 0; k < usable; ++k) factors[done + k] = some[skipped + k];
    done += usable;
  }
}

ALBERT_NER_INLINE Floats load_added(const AddedRows& added, int64_t at, int64_t count) {
  return added.narrow != nullptr ? load_bfloat16(added.narrow + at, count)
                                 : load_some(added.wide + at, count);
}

/// sum [D] = row + dropout(added); returns the sum of its elements.
ALBERT_NER_INLINE float add_row(const AddNormArgs& args, int64_t row, const float* factors, float* sum) {
  const int64_t base = row * args.D;
  Floats total = {};
  for (int64_t d = 0; d < args.D; d += kLanes) {
    const int64_t left = args.D - d;
    Floats added = load_added(args.added_md, base + d, left);
    if (factors != nullptr) added *= load_some(factors + d, left);
    const Floats value = load_some(args.rows_md + base + d, left) + added;
    store_some(sum + d, value, left);
    total += value;
  }
  return sum_of_lanes(total);
}

/// The row's factors in `room`, or null without dropout.
ALBERT_NER_INLINE const float* row_factors(const AddNormArgs& args, int64_t row, float* room) {
  if (args.dropout.dropped == 0) return nullptr;
  dropout_factors(args.dropout, row * args.D, args.D, room);
  return room;
}

void forward(const AddNormArgs& args, int64_t first, int64_t count, const AddNormOutput& output) {
  const int64_t D = args.D;
  float* sum = args.scratch;
  for (int64_t row = first; row < first + count; ++row) {
    const float mean = add_row(args, row, row_factors(args, row, sum + D), sum) / static_cast<float>(D);
    Floats squares = {};
    for (int64_t d = 0; d < D; d += kLanes) {
      const Floats deviation = load_some(sum + d, D - d) - mean;
      // Behind the last element there is no deviation.
      squares += d + kLanes <= D ? deviation * deviation : first_lanes(deviation * deviation, D - d);
    }
    const float inverse = 1.0f / __builtin_sqrtf(sum_of_lanes(squares) / static_cast<float>(D) + args.eps);
    for (int64_t d = 0; d < D; d += kLanes) {
      const int64_t left = D - d;
      const Floats normed = (load_some(sum + d, left) - mean) * inverse * load_some(args.scale_d + d, left) +
                            load_some(args.bias_d + d, left);
      store_some(output.normed_md + row * D + d, normed, left);
      if (output.narrow_md != nullptr) store_bfloat16(output.narrow_md + row * D + d, normed, left);
    }
    if (output.moments_m2 == nullptr) continue;
    output.moments_m2[2 * row] = mean;
    output.moments_m2[2 * row + 1] = inverse;
  }
}

/// The gradient of the normalised row: what comes as float32 and what comes as bfloat16.
ALBERT_NER_INLINE Floats load_gradient(const AddNormGradients& gradients, int64_t at, int64_t count) {
  Floats gradient = {};
  if (gradients.d_normed_md != nullptr) gradient += load_some(gradients.d_normed_md + at, count);
  if (gradients.d_narrow_md != nullptr) gradient += load_bfloat16(gradients.d_narrow_md + at, count);
  return gradient;
}

void backward(const AddNormArgs& args, int64_t first, int64_t count, const AddNormGradients& gradients) {
  const int64_t D = args.D;
  float* hat = args.scratch;  // the normalised row before scale and bias
  for (int64_t row = first; row < first + count; ++row) {
    const int64_t base = row * D;
    const float mean = gradients.moments_m2[2 * row];
    const float inverse = gradients.moments_m2[2 * row + 1];
    const float* factors = row_factors(args, row, hat + D);
    add_row(args, row, factors, hat);
    Floats sum = {};
    Floats sum_with_hat = {};
    for (int64_t d = 0; d < D; d += kLanes) {
      const int64_t left = D - d;
      const Floats gradient = load_gradient(gradients, base + d, left);
      const Floats value = (load_some(hat + d, left) - mean) * inverse;
      store_some(hat + d, value, left);
      float* d_scale = gradients.d_scale_bias_2d + d;
      store_some(d_scale, load_some(d_scale, left) + gradient * value, left);
      store_some(d_scale + D, load_some(d_scale + D, left) + gradient, left);
      const Floats scaled = gradient * load_some(args.scale_d + d, left);  // 0 behind the last element
      sum += scaled;
      sum_with_hat += scaled * value;
    }
    const float mean_gradient = sum_of_lanes(sum) / static_cast<float>(D);
    const float mean_with_hat = sum_of_lanes(sum_with_hat) / static_cast<float>(D);
    for (int64_t d = 0; d < D; d += kLanes) {
      const int64_t left = D - d;
      const Floats scaled = load_gradient(gradients, base + d, left) * load_some(args.scale_d + d, left);
      Floats gradient = (scaled - mean_gradient - load_some(hat + d, left) * mean_with_hat) * inverse;
      store_some(gradients.d_rows_md + base + d, gradient, left);
      if (factors != nullptr) gradient *= load_some(factors + d, left);
      if (gradients.d_added_narrow_md != nullptr) {
        store_bfloat16(gradients.d_added_narrow_md + base + d, gradient, left);
      } else {
        store_some(gradients.d_added_wide_md + base + d, gradient, left);
      }
    }
  }
}

}  // namespace

extern const AddNormKernels kAddNormKernels;
const AddNormKernels kAddNormKernels{dropout_factors, forward, backward};

}  // namespace albert_ner::core::ALBERT_NER_ISA
