// What runs on the device for bilstm_cuda.cu: kernels and what they share, no tensors. Included there only.
//
// A block takes one direction of one sentence and walks it step by step: rows up for the forward direction,
// down for the reverse one. Gates, pre-activations and their gradients lie in rows of 8H: the four gates of
// the forward direction, each H wide, then those of the reverse one.
#pragma once

#include <cstdint>

#include "core/bilstm/bilstm_math.h"
#include "torch/support/launch.h"

namespace albert_ner::ops {
namespace {

/// The width whose recurrent weights fit into the registers of a block: H of them in each of 4H threads.
constexpr int kRegisterHidden = 64;
constexpr int kGates = 4;
constexpr int kRegisterThreads = kGates * kRegisterHidden;
constexpr int kGeneralThreads = 256;

/// What a launch reads and writes, both directions of the batch. Null: not wanted.
template <typename scalar_t>
struct LstmForward {
  int64_t H;
  int64_t N;
  const int32_t* offsets;
  const scalar_t* w_hh;  // [2, 4H, H], or [2, H, 4H] for the general kernel
  scalar_t* gates_n8h;   // in: pre-activations without the recurrent part; out, if saved: activations
  scalar_t* cells_n2h;   // may be null in the register kernel
  scalar_t* output_n2h;
  bool saves;
};

template <typename scalar_t>
struct LstmBackward {
  int64_t H;
  int64_t N;
  const int32_t* offsets;
  const scalar_t* w_hh;  // [2, 4H, H]
  const scalar_t* gates_n8h;
  const scalar_t* cells_n2h;
  const scalar_t* output_n2h;
  const scalar_t* d_output_n2h;
  scalar_t* d_gates_n8h;
  scalar_t* previous_n2h;  // the hidden state each row started from
};

/// The walk of one direction over one sentence: step s is row first + s * stride.
struct Walk {
  int64_t first;
  int64_t stride;
  int64_t steps;
  int64_t direction;

  __device__ int64_t row(int64_t step) const { return first + step * stride; }
};

/// That of the running block: sentences along x, directions along y.
__device__ inline Walk walk_of_block(const int32_t* offsets, int64_t N) {
  const int64_t begin = offsets[blockIdx.x];
  const int64_t end = offsets[blockIdx.x + 1];
  ALBERT_NER_DEVICE_ASSERT(begin >= 0 && begin <= end && end <= N);
  const bool reverse = blockIdx.y == 1;
  return {reverse ? end - 1 : begin, reverse ? -1 : 1, end - begin, reverse ? 1 : 0};
}

/// The values the four lanes of a unit hold, one gate each.
template <typename scalar_t>
__device__ LstmGates<scalar_t> gather_gates(scalar_t own) {
  const int first = static_cast<int>(threadIdx.x) % kWarpThreads / kGates * kGates;
  return {__shfl_sync(kAllLanes, own, first), __shfl_sync(kAllLanes, own, first + 1),
          __shfl_sync(kAllLanes, own, first + 2), __shfl_sync(kAllLanes, own, first + 3)};
}

template <typename scalar_t>
__device__ scalar_t gate_of(const LstmGates<scalar_t>& gates, int gate) {
  return gate == 0 ? gates.i : gate == 1 ? gates.f : gate == 2 ? gates.g : gates.o;
}

/// sum_k weights[k] values[k * stride], the weights in registers. Four sums at once: one would wait for
/// itself at each step.
template <typename scalar_t, int Count>
__device__ scalar_t dot(const scalar_t (&weights)[Count], const scalar_t* values, int stride) {
  scalar_t sums[4] = {0, 0, 0, 0};
  ALBERT_NER_UNROLL
  for (int k = 0; k < Count; ++k) sums[k % 4] += weights[k] * values[k * stride];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// What a thread of the register kernels has: four neighbouring ones share a unit, one gate each.
struct RegisterPlace {
  int unit;
  int gate;
  int64_t unit_column;  // in rows of 2H
  int64_t gate_column;  // in rows of 8H
};

__device__ inline RegisterPlace place_of_thread(const Walk& walk) {
  constexpr int H = kRegisterHidden;
  const int unit = static_cast<int>(threadIdx.x) / kGates;
  const int gate = static_cast<int>(threadIdx.x) % kGates;
  return {unit, gate, walk.direction * H + unit, (walk.direction * kGates + gate) * H + unit};
}

/// H = kRegisterHidden: four neighbouring threads have a unit, one gate each, with the gate's recurrent
/// weights in registers. One barrier per step; hidden states alternate between two buffers.
template <typename scalar_t>
__global__ void __launch_bounds__(kRegisterThreads)
    bilstm_register_forward_kernel(LstmForward<scalar_t> lstm) {
  constexpr int H = kRegisterHidden;
  ALBERT_NER_SHARED(scalar_t, hidden, 2 * H);
  const Walk walk = walk_of_block(lstm.offsets, lstm.N);
  const auto [unit, gate, unit_column, gate_column] = place_of_thread(walk);
  scalar_t weights[H];
  const scalar_t* row_weights = lstm.w_hh + gate_column * H;
  ALBERT_NER_UNROLL
  for (int k = 0; k < H; ++k) weights[k] = row_weights[k];
  if (gate == 0) hidden[unit] = 0;
  __syncthreads();
  scalar_t cell = 0;
  for (int64_t step = 0; step < walk.steps; ++step) {
    const int64_t row = walk.row(step);
    const scalar_t* before = hidden + step % 2 * H;
    const scalar_t projected = lstm.gates_n8h[row * 2 * kGates * H + gate_column];
    const LstmGates<scalar_t> gates = lstm_activate(gather_gates(projected + dot(weights, before, 1)));
    cell = lstm_cell(gates, cell);
    if (lstm.saves) lstm.gates_n8h[row * 2 * kGates * H + gate_column] = gate_of(gates, gate);
    if (gate == 0) {
      const scalar_t state = lstm_hidden(gates, cell);
      hidden[(step + 1) % 2 * H + unit] = state;
      lstm.output_n2h[row * 2 * H + unit_column] = state;
      if (lstm.saves) lstm.cells_n2h[row * 2 * H + unit_column] = cell;
    }
    __syncthreads();
  }
}

/// H = kRegisterHidden: four neighbouring threads have a unit, and each the unit's column of the weights of
/// one gate in registers. The gradients of all gates of a step pass through shared memory, laid out as the
/// threads are.
template <typename scalar_t>
__global__ void __launch_bounds__(kRegisterThreads)
    bilstm_register_backward_kernel(LstmBackward<scalar_t> lstm) {
  constexpr int H = kRegisterHidden;
  ALBERT_NER_SHARED(scalar_t, d_gates, 2 * kGates * H);
  const Walk walk = walk_of_block(lstm.offsets, lstm.N);
  const auto [unit, gate, unit_column, gate_column] = place_of_thread(walk);
  scalar_t weights[H];
  const scalar_t* column_weights = lstm.w_hh + (walk.direction * kGates + gate) * H * H + unit;
  ALBERT_NER_UNROLL
  for (int k = 0; k < H; ++k) weights[k] = column_weights[k * H];
  d_gates[threadIdx.x] = 0;
  __syncthreads();
  scalar_t d_cell = 0;
  for (int64_t step = walk.steps - 1; step >= 0; --step) {
    const int64_t row = walk.row(step);
    const scalar_t* after = d_gates + (walk.steps - 1 - step) % 2 * kGates * H;
    scalar_t d_hidden = dot(weights, after + gate, kGates);
    d_hidden += __shfl_xor_sync(kAllLanes, d_hidden, 1);
    d_hidden += __shfl_xor_sync(kAllLanes, d_hidden, 2);
    d_hidden += lstm.d_output_n2h[row * 2 * H + unit_column];
    const int64_t previous_place = walk.row(step - 1) * 2 * H + unit_column;
    const LstmGates<scalar_t> gates = gather_gates(lstm.gates_n8h[row * 2 * kGates * H + gate_column]);
    const scalar_t previous_cell = step == 0 ? scalar_t(0) : lstm.cells_n2h[previous_place];
    const scalar_t own = gate_of(
        lstm_backward(gates, previous_cell, lstm.cells_n2h[row * 2 * H + unit_column], d_hidden, d_cell),
        gate);
    d_gates[(walk.steps - step) % 2 * kGates * H + threadIdx.x] = own;
    lstm.d_gates_n8h[row * 2 * kGates * H + gate_column] = own;
    if (gate == 0) {
      lstm.previous_n2h[row * 2 * H + unit_column] =
          step == 0 ? scalar_t(0) : lstm.output_n2h[previous_place];
    }
    __syncthreads();
  }
}

/// A row of gates of one direction in a row of 8H.
template <typename scalar_t>
__device__ LstmGates<scalar_t> load_gates(const scalar_t* gates_4h, int64_t H, int64_t unit) {
  return {gates_4h[unit], gates_4h[H + unit], gates_4h[2 * H + unit], gates_4h[3 * H + unit]};
}

template <typename scalar_t>
__device__ void store_gates(const LstmGates<scalar_t>& gates, scalar_t* gates_4h, int64_t H, int64_t unit) {
  gates_4h[unit] = gates.i;
  gates_4h[H + unit] = gates.f;
  gates_4h[2 * H + unit] = gates.g;
  gates_4h[3 * H + unit] = gates.o;
}

/// Any H: weights come from memory at each step, transposed so that neighbouring threads read neighbouring
/// numbers. The hidden state passes through shared memory, the pre-activations through the row of gates.
template <typename scalar_t>
__global__ void __launch_bounds__(kGeneralThreads) bilstm_general_forward_kernel(LstmForward<scalar_t> lstm) {
  const int64_t H = lstm.H;
  scalar_t* hidden = dynamic_shared<scalar_t>();  // [H]
  const Walk walk = walk_of_block(lstm.offsets, lstm.N);
  const scalar_t* weights_h4h = lstm.w_hh + walk.direction * kGates * H * H;
  for (int64_t unit = threadIdx.x; unit < H; unit += kGeneralThreads) hidden[unit] = 0;
  for (int64_t step = 0; step < walk.steps; ++step) {
    const int64_t row = walk.row(step);
    scalar_t* gates_4h = lstm.gates_n8h + (row * 2 + walk.direction) * kGates * H;
    scalar_t* cells_h = lstm.cells_n2h + (row * 2 + walk.direction) * H;
    __syncthreads();
    for (int64_t column = threadIdx.x; column < kGates * H; column += kGeneralThreads) {
      scalar_t sum = gates_4h[column];
      for (int64_t k = 0; k < H; ++k) sum += weights_h4h[k * kGates * H + column] * hidden[k];
      gates_4h[column] = sum;
    }
    __syncthreads();
    for (int64_t unit = threadIdx.x; unit < H; unit += kGeneralThreads) {
      const LstmGates<scalar_t> gates = lstm_activate(load_gates(gates_4h, H, unit));
      const scalar_t previous = step == 0 ? scalar_t(0) : cells_h[unit - walk.stride * 2 * H];
      const scalar_t cell = lstm_cell(gates, previous);
      hidden[unit] = lstm_hidden(gates, cell);
      store_gates(gates, gates_4h, H, unit);
      cells_h[unit] = cell;
      lstm.output_n2h[(row * 2 + walk.direction) * H + unit] = hidden[unit];
    }
  }
}

/// Any H. The gradients of a step's gates pass through their row in memory; that of the cell stays with the
/// unit's thread, in shared memory.
template <typename scalar_t>
__global__ void __launch_bounds__(kGeneralThreads)
    bilstm_general_backward_kernel(LstmBackward<scalar_t> lstm) {
  const int64_t H = lstm.H;
  scalar_t* d_cells = dynamic_shared<scalar_t>();  // [H]
  const Walk walk = walk_of_block(lstm.offsets, lstm.N);
  const scalar_t* weights_4hh = lstm.w_hh + walk.direction * kGates * H * H;
  for (int64_t unit = threadIdx.x; unit < H; unit += kGeneralThreads) d_cells[unit] = 0;
  for (int64_t step = walk.steps - 1; step >= 0; --step) {
    const int64_t place = walk.row(step) * 2 + walk.direction;
    const int64_t previous_place = place - 2 * walk.stride;
    const scalar_t* after_4h = lstm.d_gates_n8h + (place + 2 * walk.stride) * kGates * H;
    for (int64_t unit = threadIdx.x; unit < H; unit += kGeneralThreads) {
      scalar_t d_hidden = lstm.d_output_n2h[place * H + unit];
      if (step + 1 < walk.steps) {
        for (int64_t k = 0; k < kGates * H; ++k) d_hidden += weights_4hh[k * H + unit] * after_4h[k];
      }
      const scalar_t previous_cell = step == 0 ? scalar_t(0) : lstm.cells_n2h[previous_place * H + unit];
      const LstmGates<scalar_t> gates = load_gates(lstm.gates_n8h + place * kGates * H, H, unit);
      const LstmGates<scalar_t> d =
          lstm_backward(gates, previous_cell, lstm.cells_n2h[place * H + unit], d_hidden, d_cells[unit]);
      store_gates(d, lstm.d_gates_n8h + place * kGates * H, H, unit);
      lstm.previous_n2h[place * H + unit] =
          step == 0 ? scalar_t(0) : lstm.output_n2h[previous_place * H + unit];
    }
    __syncthreads();
  }
}

}  // namespace
}  // namespace albert_ner::ops
