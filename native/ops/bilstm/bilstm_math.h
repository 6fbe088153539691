// One LSTM cell, forwards and backwards, for host and device alike. No tensors here.
//
//   c = f c_prev + i g        h = o tanh(c)        i, f, o through the logistic function, g through tanh
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define ALBERT_NER_HOST_DEVICE __host__ __device__
#elif !defined(ALBERT_NER_HOST_DEVICE)
#define ALBERT_NER_HOST_DEVICE
#endif

namespace albert_ner::ops {

template <typename scalar_t>
ALBERT_NER_HOST_DEVICE scalar_t logistic(scalar_t x) {
  return scalar_t(1) / (scalar_t(1) + std::exp(-x));
}

/// Turns the pre-activations gates_4h of one unit set into activations in place; returns nothing else than c
/// and h.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE void lstm_cell(int64_t H, scalar_t* gates_4h, const scalar_t* c_prev_h, scalar_t* c_h,
                                      scalar_t* h_h) {
  for (int64_t u = 0; u < H; ++u) {
    const scalar_t i = logistic(gates_4h[u]);
    const scalar_t f = logistic(gates_4h[H + u]);
    const scalar_t g = std::tanh(gates_4h[2 * H + u]);
    const scalar_t o = logistic(gates_4h[3 * H + u]);
    gates_4h[u] = i;
    gates_4h[H + u] = f;
    gates_4h[2 * H + u] = g;
    gates_4h[3 * H + u] = o;
    c_h[u] = f * (c_prev_h ? c_prev_h[u] : scalar_t(0)) + i * g;
    h_h[u] = o * std::tanh(c_h[u]);
  }
}

/// From d loss / d h (and d loss / d c from the next step, updated to that of the previous one) to the
/// gradients of the pre-activations.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE void lstm_cell_backward(int64_t H, const scalar_t* gates_4h, const scalar_t* c_prev_h,
                                               const scalar_t* c_h, const scalar_t* d_h_h, scalar_t* d_c_h,
                                               scalar_t* d_gates_4h) {
  for (int64_t u = 0; u < H; ++u) {
    const scalar_t i = gates_4h[u];
    const scalar_t f = gates_4h[H + u];
    const scalar_t g = gates_4h[2 * H + u];
    const scalar_t o = gates_4h[3 * H + u];
    const scalar_t tanh_c = std::tanh(c_h[u]);
    const scalar_t d_c = d_c_h[u] + d_h_h[u] * o * (1 - tanh_c * tanh_c);
    d_gates_4h[u] = d_c * g * i * (1 - i);
    d_gates_4h[H + u] = d_c * (c_prev_h ? c_prev_h[u] : scalar_t(0)) * f * (1 - f);
    d_gates_4h[2 * H + u] = d_c * i * (1 - g * g);
    d_gates_4h[3 * H + u] = d_h_h[u] * tanh_c * o * (1 - o);
    d_c_h[u] = d_c * f;
  }
}

}  // namespace albert_ner::ops
