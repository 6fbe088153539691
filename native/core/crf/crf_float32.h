// The CRF in float32 on plain memory, for the operators and the fused tagger: which sentences share a vector,
// and the memory the kernels need. The recursions are in crf_kernels.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/crf/crf_kernels.h"
#include "core/crf/crf_log_space.h"
#include "core/simd/buffer.h"

namespace albert_ner::core {

/// One batch at a time. Keeps its memory for the next batch; for one thread at a time. Results don't depend
/// on the number of threads.
class CrfFloat32 {
 public:
  /// The batch of the calls that follow. `offsets` [B+1] must outlive them.
  void begin(const int32_t* offsets, int64_t B, int64_t K);
  /// The moves of `forward` and `backward`; they must outlive them.
  void set_moves(const CrfMoveScores<float>& moves);

  /// Floats that `forward` leaves for `backward`.
  int64_t saved_floats() const { return saved_floats_ + B_; }

  /// log_partition_b [B] in nats, 0 for an empty sentence, -inf for one without a legal path.
  /// `emissions_forbid`: some are -inf.
  void forward(const float* emissions_nk, bool emissions_forbid, float* saved, double* log_partition_b);

  /// Adds weight_b * d log Z_b to d_emissions_nk and, if they aren't null, to the sums of the moves.
  void backward(const float* emissions_nk, const float* saved, const float* weight_b, float* d_emissions_nk,
                CrfMoveSums* sums);

  /// Best paths into tags_n; legal_b [B] false for a sentence that has none. Scores up to
  /// kLargestViterbiScore.
  void viterbi(const CrfMoveScores<float>& moves, const float* emissions_nk, int32_t* tags_n, bool* legal_b);

 private:
  /// body(group, member), in parallel, the groups with the longest sentences first.
  template <typename Body>
  void for_each_group(Body body);

  CrfMoves move_tables() const;
  /// What `backward` adds for the sentences done in log space.
  void add_lost(const float* emissions_nk, const float* lost_b, const float* weight_b, float* d_emissions_nk,
                CrfMoveSums* sums);
  Scores<float> log_space_scores(const float* emissions_nk) const {
    return {{B_, offsets_[B_], K_}, emissions_nk, offsets_, move_scores_};
  }

  int64_t B_ = 0;
  int64_t K_ = 0;
  const int32_t* offsets_ = nullptr;
  CrfMoveScores<float> move_scores_{};
  int64_t saved_floats_ = 0;  // of all groups; then a float per sentence: 1 where it is done in log space
  std::vector<CrfGroup> groups_;
  std::vector<int32_t> by_length_;
  Buffer<float> moves_;  // [K, K] twice, [K] twice
  std::vector<uint8_t> allowed_kk_;
  std::vector<float> unreachable_;  // [reach steps, K]
  float alpha_floor_ = 0;
  double largest_transition_ = 0;
  double largest_start_ = 0;
  double largest_end_ = 0;
  Buffer<float> scratch_;
  Buffer<double> group_sums_;  // [groups, K * K + 2 K]
};

/// float32 keeps four digits behind the point up to here.
constexpr float kLargestViterbiScore = 1e4f;

}  // namespace albert_ner::core
