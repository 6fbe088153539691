// Recurrence kernels: a few rows by four vectors in registers, so that the four gates of a unit meet there
// and are activated without going through memory. Compiled once per instruction set.

#include "core/bilstm/bilstm_kernels.h"

#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

// Rows of a register tile of four vectors, with room for one row of the packed matrix.
constexpr int kRows = kVectorRegisters == 32 ? 6 : 3;
constexpr int kWide = 4 * kLanes;

int64_t padded(int64_t count, int64_t to) {
  return (count + to - 1) / to * to;
}

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// sums [R, 4 vectors] += rows [R, depth] packed [depth, 4 vectors]
template <int R>
ALBERT_NER_INLINE void accumulate(Floats (&sums)[R][4], const float* const (&rows)[R], const float* packed,
                                  int64_t depth) {
  for (int64_t k = 0; k < depth; ++k, packed += kWide) {
    const Floats p0 = load(packed);
    const Floats p1 = load(packed + kLanes);
    const Floats p2 = load(packed + 2 * kLanes);
    const Floats p3 = load(packed + 3 * kLanes);
    _Pragma("GCC unroll 8") for (int r = 0; r < R; ++r) {
      const Floats element = broadcast(rows[r][k]);
      sums[r][0] += element * p0;
      sums[r][1] += element * p1;
      sums[r][2] += element * p2;
      sums[r][3] += element * p3;
    }
  }
}

void pack_forward(const float* w_hh, int64_t H, float* packed) {
  for (int64_t unit0 = 0; unit0 < H; unit0 += kLanes) {
    for (int64_t k = 0; k < H; ++k) {
      for (int64_t gate = 0; gate < 4; ++gate) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const int64_t unit = unit0 + lane;
          *packed++ = unit < H ? w_hh[(gate * H + unit) * H + k] : 0.0f;
        }
      }
    }
  }
}

void pack_backward(const float* w_hh, int64_t H, float* packed) {
  const int64_t P = padded(H, kLanes);
  for (int64_t k0 = 0; k0 < H; k0 += kWide) {
    for (int64_t gate = 0; gate < 4; ++gate) {
      for (int64_t unit = 0; unit < P; ++unit) {
        for (int64_t k = k0; k < k0 + kWide; ++k) {
          *packed++ = unit < H && k < H ? w_hh[(gate * H + unit) * H + k] : 0.0f;
        }
      }
    }
  }
}

struct Forward {
  const LstmSweep& sweep;
  const LstmForwardRows& rows;
  const float* packed;
  const float* bias;
};

/// R sentences at one step, one block of kLanes units.
template <int R>
__attribute__((noinline)) void forward_tile(const Forward& f, const int64_t* row, bool is_first,
                                            int64_t unit) {
  const LstmSweep& s = f.sweep;
  Floats sums[R][4];
  const float* previous[R];
  _Pragma("GCC unroll 8") for (int r = 0; r < R; ++r) {
    const float* gates = f.rows.gates + row[r] * 4 * s.P + unit;
    _Pragma("GCC unroll 4") for (int gate = 0; gate < 4; ++gate) {
      sums[r][gate] = load(gates + gate * s.P) + load(f.bias + gate * s.P + unit);
    }
    previous[r] = f.rows.hidden + (is_first ? 0 : (row[r] - s.stride) * s.hidden_step);
  }
  if (!is_first) accumulate<R>(sums, previous, f.packed + unit * 4 * s.H, s.H);
  _Pragma("GCC unroll 8") for (int r = 0; r < R; ++r) {
    const Floats in = logistic(sums[r][0]);
    const Floats forget = logistic(sums[r][1]);
    const Floats candidate = tanh(sums[r][2]);
    const Floats out = logistic(sums[r][3]);
    float* cell = f.rows.cells + row[r] * s.P + unit;
    Floats c = in * candidate;
    if (!is_first) c += forget * load(cell - s.stride * s.P);
    store(cell, c);
    float* gates = f.rows.gates + row[r] * 4 * s.P + unit;
    store(gates, in);
    store(gates + s.P, forget);
    store(gates + 2 * s.P, candidate);
    store(gates + 3 * s.P, out);
    store_some(f.rows.hidden + row[r] * s.hidden_step + unit, out * tanh(c), s.H - unit);
  }
}

template <int R>
ALBERT_NER_INLINE void forward_rows(int64_t count, const Forward& f, const int64_t* row, bool is_first,
                                    int64_t unit) {
  if (count == R) return forward_tile<R>(f, row, is_first, unit);
  if constexpr (R > 1) forward_rows<R - 1>(count, f, row, is_first, unit);
}

/// Rows of `count` walks from `first` on at step t.
ALBERT_NER_INLINE void rows_of(const LstmSweep& s, int64_t first, int64_t count, int64_t t, int64_t* row) {
  for (int64_t r = 0; r < count; ++r) row[r] = s.walks[first + r].first + t * s.stride;
}

void forward(const LstmSweep& s, const float* packed, const float* bias, const LstmForwardRows& rows) {
  const Forward f{s, rows, packed, bias};
  int64_t running = s.walk_count;
  for (int64_t t = 0;; ++t) {
    while (running > 0 && s.walks[running - 1].length <= t) --running;
    if (running == 0) return;
    for (int64_t unit = 0; unit < s.H; unit += kLanes) {
      for (int64_t first = 0; first < running; first += kRows) {
        const int64_t count = smaller(kRows, running - first);
        int64_t row[kRows];
        rows_of(s, first, count, t, row);
        forward_rows<kRows>(count, f, row, t == 0, unit);
      }
    }
  }
}

/// Gradients of the pre-activations of one row. d_next [H] is what the step after hands on; d_c [P] as it
/// left it becomes that for the step before. The formulas stand in bilstm_math.h.
void backward_cells(const LstmSweep& s, const LstmBackwardRows& rows, int64_t row, bool is_first,
                    const float* d_next, float* d_c) {
  const float* from_output = rows.d_hidden + row * s.hidden_step;
  for (int64_t unit = 0; unit < s.H; unit += kLanes) {
    const float* gates = rows.gates + row * 4 * s.P + unit;
    const Floats i = load(gates);
    const Floats f = load(gates + s.P);
    const Floats g = load(gates + 2 * s.P);
    const Floats o = load(gates + 3 * s.P);
    const float* cell = rows.cells + row * s.P + unit;
    const Floats c_previous = is_first ? Floats{} : load(cell - s.stride * s.P);
    const Floats tanh_c = tanh(load(cell));
    const Floats d_h = load_some(from_output + unit, s.H - unit) + load(d_next + unit);
    const Floats d_cell = load(d_c + unit) + d_h * o * (1.0f - tanh_c * tanh_c);
    store(d_c + unit, d_cell * f);
    float* d_gates = rows.d_gates + row * 4 * s.P + unit;
    store(d_gates, d_cell * g * i * (1.0f - i));
    store(d_gates + s.P, d_cell * c_previous * f * (1.0f - f));
    store(d_gates + 2 * s.P, d_cell * i * (1.0f - g * g));
    store(d_gates + 3 * s.P, d_h * tanh_c * o * (1.0f - o));
  }
}

/// d_next [R, kWide] = d_gates [R, 4 P] packed: what the step hands on to the one before it. Rows of d_next
/// are `step` floats apart.
template <int R>
__attribute__((noinline)) void backward_tile(const float* const* d_gates, const float* packed, int64_t depth,
                                             float* d_next, int64_t step) {
  Floats sums[R][4] = {};
  const float* rows[R];
  _Pragma("GCC unroll 8") for (int r = 0; r < R; ++r) rows[r] = d_gates[r];
  accumulate<R>(sums, rows, packed, depth);
  _Pragma("GCC unroll 8") for (int r = 0; r < R; ++r) {
    _Pragma("GCC unroll 4") for (int v = 0; v < 4; ++v) store(d_next + r * step + v * kLanes, sums[r][v]);
  }
}

template <int R>
ALBERT_NER_INLINE void backward_rows(int64_t count, const float* const* d_gates, const float* packed,
                                     int64_t depth, float* d_next, int64_t step) {
  if (count == R) return backward_tile<R>(d_gates, packed, depth, d_next, step);
  if constexpr (R > 1) backward_rows<R - 1>(count, d_gates, packed, depth, d_next, step);
}

void backward(const LstmSweep& s, const float* packed, float* carry, const LstmBackwardRows& rows) {
  const int64_t step = padded(s.H, kWide);
  float* d_next = carry;                     // [walk_count, step]
  float* d_c = carry + s.walk_count * step;  // [walk_count, P]
  for (int64_t k = 0; k < s.walk_count * (step + s.P); ++k) carry[k] = 0;
  int64_t running = 0;
  for (int64_t t = s.walk_count == 0 ? -1 : s.walks[0].length - 1; t >= 0; --t) {
    while (running < s.walk_count && s.walks[running].length > t) ++running;
    for (int64_t w = 0; w < running; ++w) {
      backward_cells(s, rows, s.walks[w].first + t * s.stride, t == 0, d_next + w * step, d_c + w * s.P);
    }
    if (t == 0) return;
    for (int64_t column = 0; column < s.H; column += kWide) {
      for (int64_t first = 0; first < running; first += kRows) {
        const int64_t count = smaller(kRows, running - first);
        int64_t row[kRows];
        rows_of(s, first, count, t, row);
        const float* d_gates[kRows];
        for (int64_t r = 0; r < count; ++r) d_gates[r] = rows.d_gates + row[r] * 4 * s.P;
        backward_rows<kRows>(count, d_gates, packed + column * 4 * s.P, 4 * s.P,
                             d_next + first * step + column, step);
      }
    }
  }
}

void sum_rows(const float* from, int64_t rows, int64_t width, float* sums) {
  for (int64_t k = 0; k < width; ++k) sums[k] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < width; ++k) sums[k] += from[row * width + k];
  }
}

}  // namespace

extern const LstmKernels kLstmKernels;
const LstmKernels kLstmKernels{kLanes, pack_forward, pack_backward, forward, backward, sum_rows};

}  // namespace albert_ner::core::ALBERT_NER_ISA
