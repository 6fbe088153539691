// The recurrence of one direction over a group of sentences in float32, forwards and backwards: the part that
// walks through time. Compiled once per instruction set.
//
// Private layout: the H units are filled up to P, a multiple of a vector's width. A row of gates is [4, P] in
// PyTorch's order i, f, g, o; a row of cells is [P]. Units beyond H have zero weights, biases and
// pre-activations, so their cells and hidden states stay 0 and so do their gradients.
#pragma once

#include <cstdint>

namespace albert_ner::core {

/// A sentence as one direction walks through it: at step t it is in row first + t * (direction's stride).
struct LstmWalk {
  int64_t first;
  int64_t length;
};

/// One direction over one group of sentences. Rows count from the group's first.
struct LstmSweep {
  int64_t H;
  int64_t P;
  int64_t stride;         // of rows from step to step: +1, or -1 in the reverse direction
  const LstmWalk* walks;  // longest first
  int64_t walk_count;
  int64_t hidden_step;  // floats from one row of hidden states, or of their gradient, to the next
};

struct LstmForwardRows {
  float* gates;   // [rows, 4, P] pre-activations without bias; becomes activated gates
  float* cells;   // [rows, P]
  float* hidden;  // [rows, H]
};

struct LstmBackwardRows {
  const float* gates;     // [rows, 4, P] activated
  const float* cells;     // [rows, P]
  const float* d_hidden;  // [rows, H]
  float* d_gates;         // [rows, 4, P] gradients of the pre-activations; may be `gates`
};

struct LstmKernels {
  int64_t lanes;

  int64_t padded(int64_t H) const { return (H + lanes - 1) / lanes * lanes; }
  /// Units of a packed panel of `backward`.
  int64_t padded_panel(int64_t H) const { return (H + 4 * lanes - 1) / (4 * lanes) * 4 * lanes; }
  /// Floats of the packed recurrent weights, enough for both forms.
  int64_t packed_floats(int64_t H) const { return 4 * padded(H) * padded_panel(H); }
  /// Floats of `carry`.
  int64_t carry_floats(int64_t H, int64_t walk_count) const {
    return walk_count * (padded(H) + padded_panel(H));
  }

  /// w_hh [4H, H] for `forward`: [P / lanes][H][4][lanes].
  void (*pack_forward)(const float* w_hh, int64_t H, float* packed);
  /// w_hh [4H, H] for `backward`: [H / 4 lanes][4, P][4 lanes], filled up with zeros.
  void (*pack_backward)(const float* w_hh, int64_t H, float* packed);

  /// `bias` [4, P].
  void (*forward)(const LstmSweep& sweep, const float* packed, const float* bias,
                  const LstmForwardRows& rows);

  /// `carry` [carry_floats] is room to work in.
  void (*backward)(const LstmSweep& sweep, const float* packed, float* carry, const LstmBackwardRows& rows);

  /// sums[k] = sum over rows of from[row * width + k], k < width, in the order of the rows.
  void (*sum_rows)(const float* from, int64_t rows, int64_t width, float* sums);
};

/// The kernels of the instruction set in use.
const LstmKernels& lstm_kernels();

}  // namespace albert_ner::core
