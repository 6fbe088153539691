// The layer in float32 on plain memory, for the operator and the fused tagger: which work is done in which
// task, and the memory it needs. The walk through time is in bilstm_kernels.h.
//
// Everything stays in the packed order of the batch: nothing is gathered. The two directions share nothing
// and each keeps to its own tasks, so on two cores neither waits for the other. What the tasks are depends on
// the batch only, never on the number of threads, and neither do the results.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bilstm/bilstm_kernels.h"
#include "core/simd/buffer.h"

namespace albert_ner::core {

/// PyTorch's weights of one direction, or their gradients. The two biases have equal gradients; where they
/// are one tensor b_hh is null.
template <typename Pointer>
struct LstmPointers {
  Pointer w_ih;  // [4H, D]
  Pointer w_hh;  // [4H, H]
  Pointer b_ih;  // [4H]
  Pointer b_hh;  // [4H]
};

/// Both directions, forward first.
template <typename Pointer>
using LstmDirections = LstmPointers<Pointer>[2];

/// What the backward pass needs of the forward pass, in the private layout of bilstm_kernels.h.
template <typename Pointer>
struct LstmSaved {
  Pointer gates;  // [2, N, 4, P]
  Pointer cells;  // [2, N, P]
};

/// Where gradients go. All are overwritten.
struct LstmGradients {
  const LstmDirections<float*>& weights;
  float* features;  // [N, D], or null: not wanted
  float* gates;     // [2, N, 4, P] room to work in; may be the saved gates
};

/// One batch through one layer. Keeps its memory for the next batch; for one thread at a time.
class BilstmFloat32 {
 public:
  /// Units of a row in the private layout.
  static int64_t padded(int64_t H);

  /// The batch of the calls that follow. `offsets` [B+1].
  void begin(const int32_t* offsets, int64_t B, int64_t D, int64_t H);

  /// hidden [N, 2H]. Without `saved` (null pointers) the gates live in small blocks and are forgotten.
  void forward(const float* features, const LstmDirections<const float*>& weights,
               const LstmSaved<float*>& saved, float* hidden);

  /// `hidden` [N, 2H] is what forward gave, `d_hidden` its gradient; biases aren't read.
  void backward(const float* features, const LstmDirections<const float*>& weights,
                const LstmSaved<const float*>& saved, const float* hidden, const float* d_hidden,
                const LstmGradients& gradients);

 private:
  /// Sentences that one task handles, neighbours in the batch.
  struct Group {
    int64_t first_walk;
    int64_t walk_count;
    int64_t first_row;
    int64_t row_count;
  };
  /// Gates that belong together in a product: all four at once, unless filling up parts them.
  struct GateRun {
    int64_t in_weights;  // first row in PyTorch's [4H, ...]
    int64_t in_gates;    // first column in [4, P]
    int64_t width;
  };

  void make_groups(const int32_t* offsets, int64_t B);
  void make_previous_rows(const int32_t* offsets, int64_t B);
  void pack_inputs(const LstmPointers<const float*>& weights, int64_t direction);
  /// Without pointers to rows.
  LstmSweep sweep(int64_t direction, const Group& group) const;
  void project(const float* features, const Group& group, int64_t direction, float* gates) const;
  void input_gradient(int64_t direction, int64_t column, const float* features, const float* d_gates,
                      float* d_w_ih) const;
  void recurrent_gradients(int64_t direction, const float* hidden, const float* d_gates,
                           const LstmPointers<float*>& gradients);
  void features_gradient(const LstmDirections<const float*>& weights, const float* d_gates,
                         float* d_features);

  int64_t N_ = 0;
  int64_t D_ = 0;
  int64_t H_ = 0;
  int64_t P_ = 0;
  std::vector<Group> groups_;
  std::vector<LstmWalk> walks_[2];         // of each direction, sorted within a group
  std::vector<int32_t> previous_rows_[2];  // [N] the row each row's state came from, -1 for none
  std::vector<GateRun> runs_;
  Buffer<float> packed_w_ih_[2];
  Buffer<float> packed_w_hh_[2];
  Buffer<float> bias_[2];   // [4, P]
  Buffer<float> scratch_;   // blocks of gates and cells, or what backward sweeps carry
  Buffer<float> row_sums_;  // [2, 4, P]
};

}  // namespace albert_ner::core
