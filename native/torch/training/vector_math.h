// Loops over the few elements of one embedding, for models that learn from a unit at a time.
#pragma once

#include <cstdint>

namespace albert_ner::training {

/// The sum of a[k] * b[k].
float dot(const float* a, const float* b, int64_t count);

/// target += scale * source
void add_scaled(float* target, const float* source, float scale, int64_t count);

/// target += a * b, element by element
void add_product(float* target, const float* a, const float* b, int64_t count);

/// A neighbour's vector and its place's weights learn from the gradient of the context, which is the sum of
/// weights * vector over all neighbours. The weights are shared by all units and so learn more slowly.
void learn_neighbour(float* vector, float* weights, const float* gradient, int64_t count);

/// One step of logistic regression on score = context . vector + bias: raises the score of what was
/// `observed`, lowers that of noise. The context's gradient is collected.
void learn_target(float* vector, float* bias, const float* context, float* gradient, bool observed,
                  float rate, int64_t count);

/// Uniform in [0, 1), 24 bits of splitmix64; advances the state.
float next_uniform(uint64_t* state);

}  // namespace albert_ner::training
