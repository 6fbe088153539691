#include "core/bilstm/bilstm_float32.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/simd/gemm.h"
#include "core/simd/isa.h"

namespace albert_ner::core {

ALBERT_NER_DECLARE_KERNELS(LstmKernels, kLstmKernels)

const LstmKernels& lstm_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kLstmKernels);
}

namespace {

/// Sentences per task: enough to fill register tiles in most steps, few enough to occupy several threads.
constexpr int64_t kGroupSentences = 32;
/// Rows after which a group is closed, so that a block of gates stays in the cache.
constexpr int64_t kGroupRows = 2048;

}  // namespace

int64_t BilstmFloat32::padded(int64_t H) {
  return lstm_kernels().padded(H);
}

void BilstmFloat32::begin(const int32_t* offsets, int64_t B, int64_t D, int64_t H) {
  N_ = offsets[B];
  D_ = D;
  H_ = H;
  P_ = padded(H);
  make_groups(offsets, B);
  make_previous_rows(offsets, B);
  runs_.clear();
  if (H_ == P_) {
    runs_.push_back({0, 0, 4 * H_});
  } else {
    for (int64_t gate = 0; gate < 4; ++gate) runs_.push_back({gate * H_, gate * P_, H_});
  }
}

void BilstmFloat32::make_groups(const int32_t* offsets, int64_t B) {
  groups_.clear();
  for (auto& walks : walks_) walks.clear();
  Group group{0, 0, 0, 0};
  auto close = [&] {
    if (group.walk_count == 0) return;
    for (std::vector<LstmWalk>& walks : walks_) {
      // By place where lengths are equal, so that the order is one whatever the sort.
      std::sort(walks.begin() + group.first_walk, walks.end(), [](const LstmWalk& a, const LstmWalk& b) {
        return a.length != b.length ? a.length > b.length : a.first < b.first;
      });
    }
    groups_.push_back(group);
    group = {group.first_walk + group.walk_count, 0, group.first_row + group.row_count, 0};
  };
  for (int64_t b = 0; b < B; ++b) {
    const int64_t length = offsets[b + 1] - offsets[b];
    if (length == 0) continue;
    if (group.walk_count == kGroupSentences || group.row_count + length > kGroupRows) close();
    walks_[0].push_back({offsets[b] - group.first_row, length});
    walks_[1].push_back({offsets[b + 1] - 1 - group.first_row, length});
    ++group.walk_count;
    group.row_count += length;
  }
  close();
}

void BilstmFloat32::make_previous_rows(const int32_t* offsets, int64_t B) {
  for (auto& rows : previous_rows_) rows.resize(N_);
  for (int64_t b = 0; b < B; ++b) {
    for (int32_t row = offsets[b]; row < offsets[b + 1]; ++row) {
      previous_rows_[0][row] = row == offsets[b] ? -1 : row - 1;
      previous_rows_[1][row] = row + 1 == offsets[b + 1] ? -1 : row + 1;
    }
  }
}

void BilstmFloat32::pack_inputs(const LstmPointers<const float*>& weights, int64_t direction) {
  const GemmKernels& gemm = gemm_kernels();
  float* packed = packed_w_ih_[direction].data();
  for (const GateRun& run : runs_) {
    gemm.pack({weights.w_ih + run.in_weights * D_, 1, D_}, D_, run.width, packed);
    packed += gemm.packed_floats(D_, run.width);
  }
  lstm_kernels().pack_forward(weights.w_hh, H_, packed_w_hh_[direction].data());
  float* bias = bias_[direction].data();
  for (int64_t gate = 0; gate < 4; ++gate) {
    for (int64_t unit = 0; unit < P_; ++unit) {
      const int64_t k = gate * H_ + unit;
      bias[gate * P_ + unit] = unit < H_ ? weights.b_ih[k] + weights.b_hh[k] : 0;
    }
  }
}

LstmSweep BilstmFloat32::sweep(int64_t direction, const Group& group) const {
  return {H_,    P_, direction == 0 ? 1 : -1, walks_[direction].data() + group.first_walk, group.walk_count,
          2 * H_};
}

void BilstmFloat32::project(const float* features, const Group& group, int64_t direction,
                            float* gates) const {
  const GemmKernels& gemm = gemm_kernels();
  if (H_ != P_) std::fill_n(gates, group.row_count * 4 * P_, 0.0f);
  const float* packed = packed_w_ih_[direction].data();
  for (const GateRun& run : runs_) {
    gemm.multiply({group.row_count, D_, run.width}, {features + group.first_row * D_, D_}, packed,
                  {gates + run.in_gates, 4 * P_});
    packed += gemm.packed_floats(D_, run.width);
  }
}

void BilstmFloat32::forward(const float* features, const LstmDirections<const float*>& weights,
                            const LstmSaved<float*>& saved, float* hidden) {
  const LstmKernels& lstm = lstm_kernels();
  for (int64_t direction = 0; direction < 2; ++direction) {
    packed_w_ih_[direction].reserve(4 * gemm_kernels().packed_floats(D_, P_));
    packed_w_hh_[direction].reserve(lstm.packed_floats(H_));
    bias_[direction].reserve(4 * P_);
  }
  for_each_task(2, [&](int64_t direction) { pack_inputs(weights[direction], direction); });

  const bool saves = saved.gates != nullptr;
  int64_t block_rows = 0;
  for (const Group& group : groups_) block_rows = std::max(block_rows, group.row_count);
  if (!saves) scratch_.reserve(thread_count() * block_rows * 5 * P_);
  const int64_t group_count = static_cast<int64_t>(groups_.size());
  for_each_task_of_members(2 * group_count, [&](int64_t task, int64_t member) {
    const int64_t direction = task / group_count;
    const Group& group = groups_[task % group_count];
    LstmForwardRows rows;
    if (saves) {
      rows.gates = saved.gates + (direction * N_ + group.first_row) * 4 * P_;
      rows.cells = saved.cells + (direction * N_ + group.first_row) * P_;
    } else {
      rows.gates = scratch_.data() + member * block_rows * 5 * P_;
      rows.cells = rows.gates + block_rows * 4 * P_;
    }
    rows.hidden = hidden + group.first_row * 2 * H_ + direction * H_;
    project(features, group, direction, rows.gates);
    lstm.forward(sweep(direction, group), packed_w_hh_[direction].data(), bias_[direction].data(), rows);
  });
}

void BilstmFloat32::input_gradient(int64_t direction, int64_t column, const float* features,
                                   const float* d_gates, float* d_w_ih) const {
  const int64_t columns = std::min(kTransposedColumns, D_ - column);
  for (const GateRun& run : runs_) {
    gemm_kernels().multiply_transposed(
        {run.width, N_, columns}, {d_gates + direction * N_ * 4 * P_ + run.in_gates, 4 * P_},
        {features + column, D_, 1}, {d_w_ih + run.in_weights * D_ + column, D_});
  }
}

void BilstmFloat32::recurrent_gradients(int64_t direction, const float* hidden, const float* d_gates,
                                        const LstmPointers<float*>& gradients) {
  d_gates += direction * N_ * 4 * P_;
  const int32_t* previous_rows = previous_rows_[direction].data();
  for (int64_t column = 0; column < H_; column += kTransposedColumns) {
    const int64_t columns = std::min(kTransposedColumns, H_ - column);
    const GemmRight previous{hidden + direction * H_ + column, 2 * H_, 1, previous_rows};
    for (const GateRun& run : runs_) {
      gemm_kernels().multiply_transposed({run.width, N_, columns}, {d_gates + run.in_gates, 4 * P_}, previous,
                                         {gradients.w_hh + run.in_weights * H_ + column, H_});
    }
  }
  float* sums = row_sums_.data() + direction * 4 * P_;
  lstm_kernels().sum_rows(d_gates, N_, 4 * P_, sums);
  for (const GateRun& run : runs_) {
    std::copy_n(sums + run.in_gates, run.width, gradients.b_ih + run.in_weights);
    if (gradients.b_hh) std::copy_n(sums + run.in_gates, run.width, gradients.b_hh + run.in_weights);
  }
}

void BilstmFloat32::features_gradient(const LstmDirections<const float*>& weights, const float* d_gates,
                                      float* d_features) {
  const GemmKernels& gemm = gemm_kernels();
  for (auto& packed : packed_w_ih_) packed.reserve(gemm.packed_floats(4 * H_, D_));
  for_each_task(2, [&](int64_t direction) {
    float* packed = packed_w_ih_[direction].data();
    for (const GateRun& run : runs_) {
      gemm.pack({weights[direction].w_ih + run.in_weights * D_, D_, 1}, run.width, D_, packed);
      packed += gemm.packed_floats(run.width, D_);
    }
  });
  for_each_block(N_, [&](int64_t row, int64_t rows) {
    GemmOutput d_rows{d_features + row * D_, D_};
    for (int64_t direction = 0; direction < 2; ++direction) {
      const float* packed = packed_w_ih_[direction].data();
      for (const GateRun& run : runs_) {
        gemm.multiply({rows, run.width, D_},
                      {d_gates + (direction * N_ + row) * 4 * P_ + run.in_gates, 4 * P_}, packed, d_rows);
        packed += gemm.packed_floats(run.width, D_);
        d_rows.accumulates = true;
      }
    }
  });
}

void BilstmFloat32::backward(const float* features, const LstmDirections<const float*>& weights,
                             const LstmSaved<const float*>& saved, const float* hidden, const float* d_hidden,
                             const LstmGradients& gradients) {
  const LstmKernels& lstm = lstm_kernels();
  const int64_t carry_floats = lstm.carry_floats(H_, kGroupSentences);
  const int64_t group_count = static_cast<int64_t>(groups_.size());
  for (auto& packed : packed_w_hh_) packed.reserve(lstm.packed_floats(H_));
  scratch_.reserve(thread_count() * carry_floats);
  row_sums_.reserve(2 * 4 * P_);
  for_each_task(2, [&](int64_t direction) {
    lstm.pack_backward(weights[direction].w_hh, H_, packed_w_hh_[direction].data());
  });
  for_each_task_of_members(2 * group_count, [&](int64_t task, int64_t member) {
    const int64_t direction = task / group_count;
    const Group& group = groups_[task % group_count];
    const int64_t row = direction * N_ + group.first_row;
    lstm.backward(sweep(direction, group), packed_w_hh_[direction].data(),
                  scratch_.data() + member * carry_floats,
                  {saved.gates + row * 4 * P_, saved.cells + row * P_,
                   d_hidden + group.first_row * 2 * H_ + direction * H_, gradients.gates + row * 4 * P_});
  });
  // Blocks of columns of dW_ih, then what needs no features.
  const int64_t blocks = (D_ + kTransposedColumns - 1) / kTransposedColumns;
  for_each_task(2 * (blocks + 1), [&](int64_t task) {
    const int64_t direction = task / (blocks + 1);
    const int64_t block = task % (blocks + 1);
    const LstmPointers<float*>& d = gradients.weights[direction];
    if (block < blocks) {
      input_gradient(direction, block * kTransposedColumns, features, gradients.gates, d.w_ih);
    } else {
      recurrent_gradients(direction, hidden, gradients.gates, d);
    }
  });
  if (gradients.features != nullptr) features_gradient(weights, gradients.gates, gradients.features);
}

}  // namespace albert_ner::core
