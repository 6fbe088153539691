// The layer in float64: the plain version. Rows are gathered time-major (all first units of the sentences,
// then all second ones, longest sentence first), so that each step is one small matrix product over the
// sentences still running; the projection of the features and the weight gradients are one product each. The
// two directions share nothing and run side by side.

#include "torch/ops/bilstm/bilstm_float64.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/bilstm/bilstm_math.h"
#include "core/parallel.h"
#include "torch/ops/bilstm/bilstm.h"
#include "torch/support/core_names.h"

namespace albert_ner::ops {
namespace {

/// Time-major order of one direction: step t holds rows step_begin[t] .. step_begin[t+1]-1 of the gathered
/// order, and the k-th row of each step belongs to the same sentence.
struct TimeMajor {
  at::Tensor rows;                  // [N] int64: packed row of each gathered row
  std::vector<int64_t> step_begin;  // [T+1]

  int64_t steps() const { return static_cast<int64_t>(step_begin.size()) - 1; }
  int64_t running(int64_t step) const { return step_begin[step + 1] - step_begin[step]; }
};

TimeMajor time_major(const at::Tensor& offsets, bool reverse) {
  const int64_t B = offsets.numel() - 1;
  const int32_t* begin = offsets.const_data_ptr<int32_t>();
  auto length = [&](int64_t b) { return begin[b + 1] - begin[b]; };
  std::vector<int64_t> by_length(B);
  std::iota(by_length.begin(), by_length.end(), 0);
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](int64_t a, int64_t b) { return length(a) > length(b); });
  const int64_t steps = B == 0 ? 0 : length(by_length[0]);
  TimeMajor order{at::empty({begin[B]}, at::kLong), {0}};
  int64_t* rows = order.rows.mutable_data_ptr<int64_t>();
  int64_t gathered = 0;
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t sentence : by_length) {
      if (length(sentence) <= step) break;
      rows[gathered++] = reverse ? begin[sentence + 1] - 1 - step : begin[sentence] + step;
    }
    order.step_begin.push_back(gathered);
  }
  return order;
}

/// Activations of one direction in time-major order.
struct DirectionState {
  at::Tensor gates;   // [N, 4H]
  at::Tensor cells;   // [N, H]
  at::Tensor hidden;  // [N, H]
};

/// The four values of unit u in a row of gates.
LstmGates<double> load_gates(const double* gates_4h, int64_t H, int64_t u) {
  return {gates_4h[u], gates_4h[H + u], gates_4h[2 * H + u], gates_4h[3 * H + u]};
}

void store_gates(const LstmGates<double>& gates, double* gates_4h, int64_t H, int64_t u) {
  gates_4h[u] = gates.i;
  gates_4h[H + u] = gates.f;
  gates_4h[2 * H + u] = gates.g;
  gates_4h[3 * H + u] = gates.o;
}

/// Fills the state; its tensors have their sizes already.
void forward_direction(const at::Tensor& features, const LstmWeights& weights, const TimeMajor& order,
                       DirectionState& state) {
  const int64_t H = weights.w_hh.size(1);
  const at::Tensor gathered = features.index_select(0, order.rows);  // [N, D]
  at::addmm_out(state.gates, weights.b_ih + weights.b_hh, gathered, weights.w_ih.t());
  const at::Tensor w_hh_t = weights.w_hh.t();  // [H, 4H]
  double* gates = state.gates.mutable_data_ptr<double>();
  double* cells = state.cells.mutable_data_ptr<double>();
  double* hidden = state.hidden.mutable_data_ptr<double>();
  for (int64_t step = 0; step < order.steps(); ++step) {
    const int64_t begin = order.step_begin[step];
    const int64_t running = order.running(step);
    const int64_t before = step == 0 ? 0 : order.step_begin[step - 1];
    if (step > 0) {
      state.gates.narrow(0, begin, running).addmm_(state.hidden.narrow(0, before, running), w_hh_t);
    }
    for (int64_t k = 0; k < running; ++k) {
      const double* c_prev = step == 0 ? nullptr : cells + (before + k) * H;
      const int64_t row = begin + k;
      double* gates_4h = gates + row * 4 * H;
      for (int64_t u = 0; u < H; ++u) {
        const LstmGates<double> active = lstm_activate(load_gates(gates_4h, H, u));
        const double c = lstm_cell(active, c_prev ? c_prev[u] : 0.0);
        store_gates(active, gates_4h, H, u);
        cells[row * H + u] = c;
        hidden[row * H + u] = lstm_hidden(active, c);
      }
    }
  }
}

/// Gradients of the pre-activations of one direction, time-major, [N, 4H]. Rows of d_hidden [N, H] are added
/// to.
at::Tensor backward_direction(at::Tensor& d_hidden, const DirectionState& state, const at::Tensor& w_hh,
                              const TimeMajor& order) {
  const int64_t H = w_hh.size(1);
  at::Tensor d_gates = at::empty(state.gates.sizes(), state.gates.options());  // [N, 4H]
  if (order.steps() == 0) return d_gates;
  at::Tensor d_cells = at::zeros({order.running(0), H}, d_hidden.options());  // [B, H]
  const double* gates = state.gates.const_data_ptr<double>();
  const double* cells = state.cells.const_data_ptr<double>();
  const double* d_h = d_hidden.const_data_ptr<double>();
  double* d_gates_data = d_gates.mutable_data_ptr<double>();
  double* d_c = d_cells.mutable_data_ptr<double>();
  for (int64_t step = order.steps() - 1; step >= 0; --step) {
    const int64_t begin = order.step_begin[step];
    const int64_t running = order.running(step);
    const int64_t before = step == 0 ? 0 : order.step_begin[step - 1];
    for (int64_t k = 0; k < running; ++k) {
      const double* c_prev = step == 0 ? nullptr : cells + (before + k) * H;
      const int64_t row = begin + k;
      for (int64_t u = 0; u < H; ++u) {
        const LstmGates<double> d =
            lstm_backward(load_gates(gates + row * 4 * H, H, u), c_prev ? c_prev[u] : 0.0, cells[row * H + u],
                          d_h[row * H + u], d_c[k * H + u]);
        store_gates(d, d_gates_data + row * 4 * H, H, u);
      }
    }
    // What the step passes on to the one before it.
    if (step > 0) d_hidden.narrow(0, before, running).addmm_(d_gates.narrow(0, begin, running), w_hh);
  }
  return d_gates;
}

/// The hidden states each gathered row started from: those of the step before, zero in the first step. [N, H]
at::Tensor previous_hidden(const at::Tensor& hidden, const TimeMajor& order) {
  at::Tensor previous = at::zeros(hidden.sizes(), hidden.options());
  for (int64_t step = 1; step < order.steps(); ++step) {
    const int64_t running = order.running(step);
    previous.narrow(0, order.step_begin[step], running)
        .copy_(hidden.narrow(0, order.step_begin[step - 1], running));
  }
  return previous;
}

/// Runs body(0) and body(1), on two threads where there are two.
template <typename Body>
void for_both_directions(Body body) {
  for_each_task(2, [&](int64_t direction) {
    // Threads of the pool don't inherit the caller's dispatch guard.
    const at::AutoDispatchBelowADInplaceOrView without_autograd;
    body(direction);
  });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> bilstm_forward_float64(
    const at::Tensor& features, const at::Tensor& offsets, const at::Tensor& w_ih, const at::Tensor& w_hh,
    const at::Tensor& b_ih, const at::Tensor& b_hh, const at::Tensor& w_ih_reverse,
    const at::Tensor& w_hh_reverse, const at::Tensor& b_ih_reverse, const at::Tensor& b_hh_reverse,
    bool saves) {
  const int64_t N = features.size(0);
  const int64_t H = w_hh.size(1);
  const LstmWeights weights[2] = {{w_ih, w_hh, b_ih, b_hh},
                                  {w_ih_reverse, w_hh_reverse, b_ih_reverse, b_hh_reverse}};
  at::Tensor output = at::empty({N, 2 * H}, features.options());                // [N, 2H]
  at::Tensor gates = at::empty({saves ? 2 : 0, N, 4 * H}, features.options());  // [2, N, 4H] time-major
  at::Tensor cells = at::empty({saves ? 2 : 0, N, H}, features.options());      // [2, N, H] time-major
  for_both_directions([&](int64_t direction) {
    const TimeMajor order = time_major(offsets, direction == 1);
    auto room = [&](const at::Tensor& saved, int64_t width) {
      return saves ? saved.select(0, direction) : at::empty({N, width}, features.options());
    };
    DirectionState state{room(gates, 4 * H), room(cells, H), at::empty({N, H}, features.options())};
    forward_direction(features, weights[direction], order, state);
    output.narrow(1, direction * H, H).index_copy_(0, order.rows, state.hidden);
  });
  return {output, gates, cells};
}

std::vector<at::Tensor> bilstm_backward_float64(const at::Tensor& grad_output, const at::Tensor& features,
                                                const at::Tensor& offsets, const at::Tensor& w_ih,
                                                const at::Tensor& w_hh, const at::Tensor& w_ih_reverse,
                                                const at::Tensor& w_hh_reverse, const at::Tensor& output,
                                                const at::Tensor& gates, const at::Tensor& cells,
                                                bool features_grad) {
  const int64_t H = w_hh.size(1);
  const at::Tensor w_ih_by_direction[2] = {w_ih, w_ih_reverse};
  const at::Tensor w_hh_by_direction[2] = {w_hh, w_hh_reverse};
  at::Tensor d_features[2];
  std::vector<at::Tensor> gradients(7);
  for_both_directions([&](int64_t direction) {
    const TimeMajor order = time_major(offsets, direction == 1);
    auto gather = [&](const at::Tensor& packed) {
      return packed.narrow(1, direction * H, H).index_select(0, order.rows);  // [N, H]
    };
    const DirectionState state{gates.select(0, direction), cells.select(0, direction), gather(output)};
    at::Tensor d_hidden = gather(grad_output);
    const at::Tensor d_gates = backward_direction(d_hidden, state, w_hh_by_direction[direction], order);
    const at::Tensor d_gates_t = d_gates.t();                                                // [4H, N]
    gradients[1 + 3 * direction] = at::mm(d_gates_t, features.index_select(0, order.rows));  // [4H, D]
    gradients[2 + 3 * direction] = at::mm(d_gates_t, previous_hidden(state.hidden, order));  // [4H, H]
    gradients[3 + 3 * direction] = d_gates.sum(0);                                           // [4H]
    if (features_grad) {
      d_features[direction] = at::empty(features.sizes(), features.options());
      d_features[direction].index_copy_(0, order.rows, at::mm(d_gates, w_ih_by_direction[direction]));
    }
  });
  gradients[0] = features_grad ? d_features[0] + d_features[1] : at::Tensor();
  return gradients;
}

}  // namespace albert_ner::ops
