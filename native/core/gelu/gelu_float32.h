// gelu_tanh on plain memory, for the operator and the engine.
#pragma once

#include <cstdint>

#include "core/gelu/gelu_kernels.h"

namespace albert_ner::core {

/// y[k] = gelu(x[k]) for `count` elements; y may be x.
void gelu_tanh_forward(const GeluElements& x, int64_t count, const MutableGeluElements& y);

/// d_x[k] = d_y[k] * derivative at x[k].
void gelu_tanh_backward(const GeluElements& x, const GeluElements& d_y, int64_t count,
                        const MutableGeluElements& d_x);

}  // namespace albert_ner::core
