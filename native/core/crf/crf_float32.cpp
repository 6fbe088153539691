#include "core/crf/crf_float32.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/parallel.h"
#include "core/simd/isa.h"

namespace albert_ner::core {

ALBERT_NER_DECLARE_KERNELS(CrfKernels, kCrfKernels)

const CrfKernels& crf_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kCrfKernels);
}

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
/// Of alphas where every finite move has a normal exponential: summands below the smallest normal number
/// vanish.
constexpr float kFloor = 1e9f * kSmallestNormal;
/// Of alphas where some have not: the summands of those vanish whatever the alpha they come from.
constexpr float kVanishedMoveFloor = kFloor * kAlphaSum;

/// The largest finite score; 0 where there is none.
float largest_of(const float* scores, int64_t count) {
  const float largest = *std::max_element(scores, scores + count);
  return largest == kNever ? 0 : largest;
}

/// Rows say which tags no path can have at a step (1) and which some may (0), by the moves alone. Ends with a
/// row that holds for all later steps, or after `steps` rows.
void find_unreachable(const CrfMoveScores<float>& moves, int64_t K, int64_t steps, std::vector<float>& rows) {
  rows.clear();
  for (int64_t k = 0; k < K; ++k) rows.push_back(moves.start_k[k] == kNever ? 1 : 0);
  for (int64_t t = 1; t < steps; ++t) {
    const int64_t before = (t - 1) * K;
    for (int64_t j = 0; j < K; ++j) {
      bool reached = false;
      for (int64_t i = 0; i < K && !reached; ++i) {
        reached = rows[before + i] == 0 && moves.transitions_kk[i * K + j] != kNever;
      }
      rows.push_back(reached ? 0 : 1);
    }
    if (std::equal(rows.begin() + before, rows.begin() + before + K, rows.begin() + before + K)) return;
  }
}

}  // namespace

void CrfFloat32::begin(const int32_t* offsets, int64_t B, int64_t K) {
  const CrfKernels& kernels = crf_kernels();
  B_ = B;
  offsets_ = offsets;
  K_ = K;
  auto length = [&](int32_t b) { return offsets[b + 1] - offsets[b]; };
  by_length_.resize(B);
  std::iota(by_length_.begin(), by_length_.end(), 0);
  std::sort(by_length_.begin(), by_length_.end(),
            [&](int32_t a, int32_t b) { return length(a) != length(b) ? length(a) > length(b) : a < b; });
  groups_.clear();
  saved_floats_ = 0;
  for (int64_t from = 0; from < B; from += kernels.lanes) {
    CrfGroup group{};
    for (int64_t k = from; k < std::min(from + kernels.lanes, B); ++k) {
      const int32_t b = by_length_[k];
      if (length(b) == 0) break;
      group.first[group.count] = offsets[b];
      group.length[group.count] = length(b);
      group.sentence[group.count] = b;
      ++group.count;
    }
    if (group.count == 0) break;
    group.steps = group.length[0];
    group.saved_offset = saved_floats_;
    saved_floats_ += kernels.saved_floats(group.steps, K);
    groups_.push_back(group);
  }
}

void CrfFloat32::set_moves(const CrfMoveScores<float>& moves) {
  const int64_t K = K_;
  move_scores_ = moves;
  largest_transition_ = largest_of(moves.transitions_kk, K * K);
  largest_start_ = largest_of(moves.start_k, K);
  largest_end_ = largest_of(moves.end_k, K);
  float* forward_kk = moves_.reserve(2 * K * K + 2 * K);
  float* backward_kk = forward_kk + K * K;
  float* start_k = backward_kk + K * K;
  float* end_k = start_k + K;
  allowed_kk_.resize(K * K);
  alpha_floor_ = kFloor;
  for (int64_t i = 0; i < K; ++i) {
    start_k[i] = static_cast<float>(std::exp(moves.start_k[i] - largest_start_));
    end_k[i] = static_cast<float>(std::exp(moves.end_k[i] - largest_end_));
    for (int64_t j = 0; j < K; ++j) {
      const float score = moves.transitions_kk[i * K + j];
      const float value = static_cast<float>(std::exp(score - largest_transition_));
      forward_kk[i * K + j] = value;
      backward_kk[j * K + i] = value;
      allowed_kk_[i * K + j] = score == kNever ? 0 : 1;
      if (score != kNever && value < kSmallestNormal) alpha_floor_ = kVanishedMoveFloor;
    }
  }
  find_unreachable(moves, K, groups_.empty() ? 1 : groups_[0].steps, unreachable_);
}

template <typename Body>
void CrfFloat32::for_each_group(Body body) {
  for_each_task_in_turn(static_cast<int64_t>(groups_.size()), body);
}

CrfMoves CrfFloat32::move_tables() const {
  const float* forward_kk = moves_.data();
  const float* backward_kk = forward_kk + K_ * K_;
  const float* start_k = backward_kk + K_ * K_;
  const int64_t reach_steps = static_cast<int64_t>(unreachable_.size()) / K_;
  return {K_,           forward_kk,         backward_kk,         start_k,
          start_k + K_, allowed_kk_.data(), unreachable_.data(), reach_steps,
          alpha_floor_};
}

void CrfFloat32::forward(const float* emissions_nk, bool emissions_forbid, float* saved,
                         double* log_partition_b) {
  const CrfKernels& kernels = crf_kernels();
  const CrfMoves moves = move_tables();
  float* lost_b = saved + saved_floats_;
  std::fill_n(log_partition_b, B_, 0.0);
  std::fill_n(lost_b, B_, 0.0f);
  const int64_t reached_floats = 2 * K_ * kernels.lanes;
  if (emissions_forbid) scratch_.reserve(thread_count() * reached_floats);
  std::atomic<bool> any_lost{false};
  for_each_group([&](int64_t g, int64_t member) {
    const CrfGroup& group = groups_[g];
    int32_t* reached = nullptr;
    if (emissions_forbid) reached = reinterpret_cast<int32_t*>(scratch_.data() + member * reached_floats);
    CrfForwardResult result;
    kernels.forward(group, moves, emissions_nk, reached, saved + group.saved_offset, result);
    for (int32_t lane = 0; lane < group.count; ++lane) {
      log_partition_b[group.sentence[lane]] = result.log_partition[lane] + largest_start_ + largest_end_ +
                                              (group.length[lane] - 1) * largest_transition_;
      if (!result.lost[lane]) continue;
      lost_b[group.sentence[lane]] = 1;
      any_lost = true;
    }
  });
  if (!any_lost) return;
  const Scores<float> scores = log_space_scores(emissions_nk);
  for_each_chunk(B_, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> alphas;
    for (int64_t b = first; b < last; ++b) {
      if (lost_b[b] == 0) continue;
      alphas.resize(scores.rows(b).count() * K_);
      log_partition_b[b] = core::forward(scores, b, alphas.data());
    }
  });
}

void CrfFloat32::backward(const float* emissions_nk, const float* saved, const float* weight_b,
                          float* d_emissions_nk, CrfMoveSums* sums) {
  const CrfKernels& kernels = crf_kernels();
  const CrfMoves moves = move_tables();
  const float* lost_b = saved + saved_floats_;
  const int64_t scratch_floats = kernels.backward_floats(K_);
  scratch_.reserve(thread_count() * scratch_floats);
  const int64_t sum_count = sums == nullptr ? 0 : K_ * K_ + 2 * K_;
  const int64_t group_count = static_cast<int64_t>(groups_.size());
  group_sums_.reserve(group_count * sum_count);
  std::fill_n(group_sums_.data(), group_count * sum_count, 0.0);
  for_each_group([&](int64_t g, int64_t member) {
    const CrfGroup& group = groups_[g];
    float weights[kMaxCrfLanes];
    for (int32_t lane = 0; lane < group.count; ++lane) {
      const int32_t b = group.sentence[lane];
      weights[lane] = lost_b[b] == 0 ? weight_b[b] : 0;
    }
    CrfBackwardArgs args{weights, scratch_.data() + member * scratch_floats, d_emissions_nk};
    if (sums != nullptr) {
      args.d_transitions = group_sums_.data() + g * sum_count;
      args.d_start = args.d_transitions + K_ * K_;
      args.d_end = args.d_start + K_;
    }
    kernels.backward(group, moves, saved + group.saved_offset, args);
  });
  for (int64_t g = 0; sums != nullptr && g < group_count; ++g) {
    const double* of_group = group_sums_.data() + g * sum_count;
    for (double& sum : sums->transitions_kk) sum += *of_group++;
    for (double& sum : sums->start_k) sum += *of_group++;
    for (double& sum : sums->end_k) sum += *of_group++;
  }
  if (std::find(lost_b, lost_b + B_, 1.0f) != lost_b + B_) {
    add_lost(emissions_nk, lost_b, weight_b, d_emissions_nk, sums);
  }
}

void CrfFloat32::add_lost(const float* emissions_nk, const float* lost_b, const float* weight_b,
                          float* d_emissions_nk, CrfMoveSums* sums) {
  const Scores<float> scores = log_space_scores(emissions_nk);
  SentenceSums lost_sums(K_);
  std::vector<double> alphas;
  for (int64_t b = 0; b < B_; ++b) {
    if (lost_b[b] == 0) continue;
    alphas.resize(scores.rows(b).count() * K_);
    core::forward(scores, b, alphas.data());
    add_expected(scores, b, static_cast<double>(weight_b[b]), alphas.data(), d_emissions_nk, lost_sums);
  }
  if (sums != nullptr) sums->add(lost_sums);
}

void CrfFloat32::viterbi(const CrfMoveScores<float>& moves, const float* emissions_nk, int32_t* tags_n,
                         bool* legal_b) {
  const CrfKernels& kernels = crf_kernels();
  std::fill_n(legal_b, B_, true);
  const int64_t scratch_floats = groups_.empty() ? 0 : kernels.viterbi_floats(groups_[0].steps, K_);
  scratch_.reserve(thread_count() * scratch_floats);
  for_each_group([&](int64_t g, int64_t member) {
    const CrfGroup& group = groups_[g];
    bool legal[kMaxCrfLanes];
    kernels.viterbi(group, {K_, moves.transitions_kk, moves.start_k, moves.end_k}, emissions_nk,
                    scratch_.data() + member * scratch_floats, tags_n, legal);
    for (int32_t lane = 0; lane < group.count; ++lane) legal_b[group.sentence[lane]] = legal[lane];
  });
}

}  // namespace albert_ner::core
