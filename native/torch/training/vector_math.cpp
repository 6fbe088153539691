#include "torch/training/vector_math.h"

#include <cmath>

#include "common/splitmix64.h"

namespace albert_ner::training {
namespace {

#if defined(__x86_64__) && defined(__GNUC__)
#define ALBERT_NER_WIDE __attribute__((target_clones("default", "arch=haswell")))
#else
#define ALBERT_NER_WIDE
#endif

constexpr float kWeightRate = 0.1F;

}  // namespace

ALBERT_NER_WIDE float dot(const float* a, const float* b, int64_t count) {
  float lanes[8] = {};
  for (int64_t k = 0; k + 8 <= count; k += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += a[k + lane] * b[k + lane];
  }
  float sum = 0;
  for (float lane : lanes) sum += lane;
  for (int64_t k = count - count % 8; k < count; ++k) sum += a[k] * b[k];
  return sum;
}

ALBERT_NER_WIDE void add_scaled(float* target, const float* source, float scale, int64_t count) {
  for (int64_t k = 0; k < count; ++k) target[k] += scale * source[k];
}

ALBERT_NER_WIDE void add_product(float* target, const float* a, const float* b, int64_t count) {
  for (int64_t k = 0; k < count; ++k) target[k] += a[k] * b[k];
}

ALBERT_NER_WIDE void learn_neighbour(float* vector, float* weights, const float* gradient, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    const float before = vector[k];
    vector[k] += weights[k] * gradient[k];
    weights[k] += kWeightRate * before * gradient[k];
  }
}

void learn_target(float* vector, float* bias, const float* context, float* gradient, bool observed,
                  float rate, int64_t count) {
  const float score = dot(context, vector, count) + *bias;
  const float probability = 1.0F / (1.0F + std::exp(-score));
  const float step = rate * ((observed ? 1.0F : 0.0F) - probability);
  add_scaled(gradient, vector, step, count);
  add_scaled(vector, context, step, count);
  *bias += step;
}

float next_uniform(uint64_t* state) {
  return static_cast<float>(splitmix64_next(state) >> 40) / static_cast<float>(1 << 24);
}

}  // namespace albert_ner::training
