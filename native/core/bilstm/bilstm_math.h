// One unit of an LSTM cell, forwards and backwards, for host and device alike. No tensors here.
//
//   c = f c_prev + i g        h = o tanh(c)        i, f, o through the logistic function, g through tanh
#pragma once

#include <cmath>

#include "core/host_device.h"

namespace albert_ner::core {

/// Values of the four gates, or their gradients.
template <typename scalar_t>
struct LstmGates {
  scalar_t i;
  scalar_t f;
  scalar_t g;
  scalar_t o;
};

template <typename scalar_t>
ALBERT_NER_HOST_DEVICE scalar_t logistic(scalar_t x) {
  return scalar_t(1) / (scalar_t(1) + std::exp(-x));
}

/// Activations of the gates from their pre-activations.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE LstmGates<scalar_t> lstm_activate(const LstmGates<scalar_t>& before) {
  return {logistic(before.i), logistic(before.f), std::tanh(before.g), logistic(before.o)};
}

template <typename scalar_t>
ALBERT_NER_HOST_DEVICE scalar_t lstm_cell(const LstmGates<scalar_t>& gates, scalar_t c_prev) {
  return gates.f * c_prev + gates.i * gates.g;
}

template <typename scalar_t>
ALBERT_NER_HOST_DEVICE scalar_t lstm_hidden(const LstmGates<scalar_t>& gates, scalar_t c) {
  return gates.o * std::tanh(c);
}

/// Gradients of the pre-activations, given d_h = d loss / d h. d_c holds d loss / d c as the step after left
/// it, and becomes that of the step before.
template <typename scalar_t>
ALBERT_NER_HOST_DEVICE LstmGates<scalar_t> lstm_backward(const LstmGates<scalar_t>& gates, scalar_t c_prev,
                                                         scalar_t c, scalar_t d_h, scalar_t& d_c) {
  const auto [i, f, g, o] = gates;
  const scalar_t tanh_c = std::tanh(c);
  const scalar_t d_cell = d_c + d_h * o * (1 - tanh_c * tanh_c);
  d_c = d_cell * f;
  return {d_cell * g * i * (1 - i), d_cell * c_prev * f * (1 - f), d_cell * i * (1 - g * g),
          d_h * tanh_c * o * (1 - o)};
}

}  // namespace albert_ner::core
