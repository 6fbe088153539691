// Forward and backward recursions with a sentence per lane. Compiled once per instruction set.

#include <math.h>

#include "core/crf/crf_lanes.h"
#include "core/simd/simd.h"

namespace albert_ner::core::ALBERT_NER_ISA {
namespace {

/// Of their sum before it is scaled: the scale must be a float32 number.
constexpr float kSumFloor = 1e-6f;
/// Below it a float32 exponential is no normal number any more.
constexpr float kLowestExponent = -87.0f;
/// Steps whose pair sums are taken together, so that the sums aren't loaded and stored for each.
constexpr int64_t kPairSteps = 8;
constexpr int64_t kRescaleSteps = 16;
/// Steps after which pair sums go to float64: float32 sums of thousands would lose digits.
constexpr int64_t kTakenSteps = 256;
/// Sums of a register tile of pairs.
constexpr int kPairRows = 4;
constexpr int kPairColumns = kVectorRegisters == 32 ? 4 : 2;

/// to[j] = sum_i from[i] * matrix[i * K + j] for `Width` columns; as many independent sums hide the latency.
template <int Width>
ALBERT_NER_INLINE void times_columns(const Floats* from, const float* matrix, int64_t K, Floats* to) {
  Floats sums[Width] = {};
  for (int64_t i = 0; i < K; ++i) {
    const Floats value = from[i];
    _Pragma("GCC unroll 8") for (int j = 0; j < Width; ++j) sums[j] += value * matrix[i * K + j];
  }
  _Pragma("GCC unroll 8") for (int j = 0; j < Width; ++j) to[j] = sums[j];
}

template <int Width>
ALBERT_NER_INLINE void times_some(int64_t width, const Floats* from, const float* matrix, int64_t K,
                                  Floats* to) {
  if (width == Width) return times_columns<Width>(from, matrix, K, to);
  if constexpr (Width > 1) times_some<Width - 1>(width, from, matrix, K, to);
}

/// to [K] = from [K] matrix [K, K], in blocks of up to 8 columns of nearly equal width.
void times_matrix(const Floats* from, const float* matrix, int64_t K, Floats* to) {
  int64_t blocks = (K + 7) / 8;
  for (int64_t j = 0; j < K; --blocks) {
    const int64_t width = (K - j + blocks - 1) / blocks;
    times_some<8>(width, from, matrix + j, K, to + j);
    j += width;
  }
}

CrfScan scan(const float* scores, int64_t count) {
  const float infinity = __builtin_inff();
  Ints valid = ~Ints{};
  Ints forbidden = {};
  Floats largest = {};
  for (int64_t k = 0; k < count; k += kLanes) {
    const Floats value = load_some(scores + k, count - k);
    const Ints is_forbidden = value == -infinity;
    const Floats magnitude = select(is_forbidden, Floats{}, value < 0.0f ? -value : value);
    valid &= magnitude < infinity;
    forbidden |= is_forbidden;
    largest = magnitude > largest ? magnitude : largest;
  }
  CrfScan facts{true, false, 0};
  for (int lane = 0; lane < kLanes; ++lane) {
    facts.valid = facts.valid && valid[lane] != 0;
    facts.has_forbidden = facts.has_forbidden || forbidden[lane] != 0;
    facts.largest_magnitude =
        largest[lane] > facts.largest_magnitude ? largest[lane] : facts.largest_magnitude;
  }
  return facts;
}

/// A product of many sums of alphas as mantissa * 2^exponent, each divided by kAlphaSum.
struct LongProduct {
  Floats mantissa = broadcast(1.0f);
  Ints exponent = {};

  ALBERT_NER_INLINE void times(Floats factor, Ints lanes) {
    const Floats product = mantissa * factor;
    const Ints bits = reinterpret_cast<Ints>(product);
    const Ints one = reinterpret_cast<Ints>((bits & 0x007FFFFF) | 0x3F800000);
    exponent += lanes & ((bits >> 23) - (127 + 100));
    mantissa = select(lanes, reinterpret_cast<Floats>(one), mantissa);
  }
};

/// A sum that keeps what each addition rounds off (Knuth's two-sum).
struct LongSum {
  Floats high = {};
  Floats low = {};

  ALBERT_NER_INLINE void add(Floats term, Ints lanes) {
    term = select(lanes, term, Floats{});
    const Floats sum = high + term;
    const Floats part = sum - high;
    low += (high - (sum - part)) + (term - part);
    high = sum;
  }
};

/// What the moves reach, lane by lane: reach[j] &= some reach_before[i] with a move i -> j.
void reach_step(const CrfMoves& moves, const Ints* before, Ints* reach) {
  for (int64_t j = 0; j < moves.K; ++j) {
    Ints any = {};
    for (int64_t i = 0; i < moves.K; ++i) {
      if (moves.allowed_kk[i * moves.K + j]) any |= before[i];
    }
    reach[j] &= any;
  }
}

template <bool HasForbidden>
void forward_lanes(const CrfGroup& group, const CrfMoves& moves, const float* emissions_nk, Ints* reached,
                   Floats* saved, CrfForwardResult& result) {
  const int64_t K = moves.K;
  LongProduct product;
  LongSum shifts;
  Ints lost = {};
  const Floats* previous = nullptr;
  Ints* reach_now = reached;
  Ints* reach_before = reached + K;
  for (int64_t t = 0; t < group.steps; ++t) {
    Floats* step = saved + t * (2 * K + 2);
    Floats* x = step + 2;
    Floats* alpha = x + K;
    const LaneRows rows(group, emissions_nk, K, t);
    Floats largest = broadcast(-1e30f);
    for (int64_t k = 0; k < K; ++k) {
      x[k] = rows.gather(k);
      largest = x[k] > largest ? x[k] : largest;
    }
    step[0] = largest;
    for (int64_t k = 0; k < K; ++k) {
      const Floats exponent = x[k] - largest;
      if (HasForbidden) reach_now[k] = x[k] != -__builtin_inff();
      x[k] = select(exponent < kLowestExponent, Floats{}, exp(exponent));
    }
    if (t == 0) {
      for (int64_t k = 0; k < K; ++k) alpha[k] = broadcast(kAlphaSum * moves.start_k[k]);
    } else {
      times_matrix(previous, moves.forward_kk, K, alpha);
    }
    const float* unreachable = moves.unreachable + smaller(t, moves.reach_steps - 1) * K;
    if (HasForbidden) {
      for (int64_t k = 0; t == 0 && k < K; ++k) reach_now[k] &= unreachable[k] == 0 ? -1 : 0;
      if (t > 0) reach_step(moves, reach_before, reach_now);
    }
    Floats sum[2] = {};
    Floats lowest = broadcast(1.0f);
    for (int64_t k = 0; k < K; ++k) {
      alpha[k] *= x[k];
      sum[k % 2] += alpha[k];
      const Floats checked =
          HasForbidden ? select(reach_now[k], alpha[k], broadcast(1.0f)) : alpha[k] + unreachable[k];
      lowest = checked < lowest ? checked : lowest;
    }
    Ints* const swapped = reach_now;
    reach_now = reach_before;
    reach_before = swapped;
    const Floats total = sum[0] + sum[1];
    const Ints running = running_lanes(group, t);
    lost |= running & ((lowest < moves.alpha_floor) | (total < kSumFloor));
    // A lost lane goes on with zeros, or infinity times its weight of 0 would spread to the sums over lanes.
    const Floats scale = select(total < kSumFloor, Floats{}, kAlphaSum / total);
    step[1] = scale;
    for (int64_t k = 0; k < K; ++k) alpha[k] *= scale;
    product.times(total, running);
    shifts.add(largest, running);
    previous = alpha;
  }
  for (int lane = 0; lane < group.count; ++lane) {
    result.lost[lane] = lost[lane] != 0;
    result.log_partition[lane] = 0;
    if (group.length[lane] == 0) continue;
    const Floats* last = saved + (group.length[lane] - 1) * (2 * K + 2) + 2 + K;
    double at_end = 0;
    for (int64_t k = 0; k < K; ++k) at_end += static_cast<double>(last[k][lane]) * moves.end_k[k];
    at_end /= kAlphaSum;
    result.lost[lane] = result.lost[lane] || !(at_end > 1e-20);
    result.log_partition[lane] = ::log(at_end) + ::log(static_cast<double>(product.mantissa[lane])) +
                                 product.exponent[lane] * M_LN2 + shifts.high[lane] +
                                 static_cast<double>(shifts.low[lane]);
  }
}

void forward(const CrfGroup& group, const CrfMoves& moves, const float* emissions_nk, int32_t* reached,
             float* saved, CrfForwardResult& result) {
  Floats* vectors = reinterpret_cast<Floats*>(saved);
  if (reached != nullptr) {
    forward_lanes<true>(group, moves, emissions_nk, reinterpret_cast<Ints*>(reached), vectors, result);
  } else {
    forward_lanes<false>(group, moves, emissions_nk, nullptr, vectors, result);
  }
}

/// Sums over lanes and steps of alpha[t-1, i] * onward[t, j], a block of steps at a time.
class PairSums {
 public:
  static int64_t vectors(int64_t K) { return padded(K) * K + kPairSteps * padded(K); }

  PairSums(Floats* scratch, int64_t K)
      : K_(K), columns_(padded(K)), sums_(scratch), onward_(scratch + columns_ * K) {
    for (int64_t k = 0; k < vectors(K); ++k) scratch[k] = Floats{};
  }

  /// Where the step's K onward values go; call flush_if_full after filling them in.
  Floats* next_step(const Floats* previous_alphas) {
    alphas_[steps_] = previous_alphas;
    return onward_ + columns_ * steps_++;
  }

  void flush_if_full() {
    if (steps_ == kPairSteps) flush();
  }

  void forget() { steps_ = 0; }

  void flush() {
    for (int64_t i = 0; i < K_; i += kPairRows) {
      const int64_t rows = smaller(kPairRows, K_ - i);
      if (rows == 4) add_rows<4>(i);
      if (rows == 3) add_rows<3>(i);
      if (rows == 2) add_rows<2>(i);
      if (rows == 1) add_rows<1>(i);
    }
    steps_ = 0;
  }

  /// Adds move (i, j) times its sum, weighted by lane, to d_moves [K, K] and starts again from 0.
  void take(const float* moves_kk, Floats weights, double* d_moves) {
    flush();
    for (int64_t i = 0; i < K_; ++i) {
      for (int64_t j = 0; j < K_; ++j) {
        Floats& sum = sums_[i * columns_ + j];
        d_moves[i * K_ + j] += static_cast<double>(moves_kk[i * K_ + j]) * sum_of_lanes(sum * weights);
        sum = Floats{};
      }
    }
  }

 private:
  static int64_t padded(int64_t K) { return (K + kPairColumns - 1) / kPairColumns * kPairColumns; }

  template <int Rows>
  void add_rows(int64_t i) {
    for (int64_t j = 0; j < columns_; j += kPairColumns) {
      Floats tile[Rows][kPairColumns];
      _Pragma("GCC unroll 4") for (int r = 0; r < Rows; ++r) {
        _Pragma("GCC unroll 4") for (int c = 0; c < kPairColumns; ++c) tile[r][c] =
            sums_[(i + r) * columns_ + j + c];
      }
      for (int64_t step = 0; step < steps_; ++step) {
        const Floats* alphas = alphas_[step] + i;
        const Floats* onward = onward_ + step * columns_ + j;
        _Pragma("GCC unroll 4") for (int r = 0; r < Rows; ++r) {
          _Pragma("GCC unroll 4") for (int c = 0; c < kPairColumns; ++c) tile[r][c] += alphas[r] * onward[c];
        }
      }
      _Pragma("GCC unroll 4") for (int r = 0; r < Rows; ++r) {
        _Pragma("GCC unroll 4") for (int c = 0; c < kPairColumns; ++c) sums_[(i + r) * columns_ + j + c] =
            tile[r][c];
      }
    }
  }

  int64_t K_;
  int64_t columns_;
  Floats* sums_;    // [K, columns]
  Floats* onward_;  // [kPairSteps, columns]
  const Floats* alphas_[kPairSteps];
  int64_t steps_ = 0;
};

int64_t backward_floats(int64_t K) {
  return (2 * K + PairSums::vectors(K)) * kLanes;
}

/// Betas of the lanes that end at step t: exp(end) / sum alpha exp(end); 0 in those of weight 0.
void start_lanes(const CrfMoves& moves, const Floats* alpha, Ints ends, Floats weights, Floats* beta) {
  Floats sum = {};
  for (int64_t k = 0; k < moves.K; ++k) sum += alpha[k] * moves.end_k[k];
  const Floats inverse = select(ends & (weights != 0.0f), broadcast(1.0f) / sum, Floats{});
  for (int64_t k = 0; k < moves.K; ++k) beta[k] = select(ends, moves.end_k[k] * inverse, beta[k]);
}

/// Marginals of a row sum to 1. Rounding moves the sum by some 1e-7 a step, always the same way; in
/// long sentences that would add up.
void rescale(int64_t K, Ints running, Floats weights, Floats* marginals, Floats* beta) {
  Floats sum = {};
  for (int64_t k = 0; k < K; ++k) sum += marginals[k];
  const Floats correction = select(running & (weights != 0.0f), broadcast(1.0f) / sum, broadcast(1.0f));
  for (int64_t k = 0; k < K; ++k) {
    marginals[k] *= correction;
    beta[k] *= correction;
  }
}

void add_marginals(const CrfGroup& group, int64_t t, int64_t K, const Floats* marginals, float* d_emissions) {
  for (int lane = 0; lane < group.count; ++lane) {
    if (t >= group.length[lane]) break;  // shorter ones follow
    float* row = d_emissions + (group.first[lane] + t) * K;
    const float* values = reinterpret_cast<const float*>(marginals) + lane;
    for (int64_t k = 0; k < K; ++k) row[k] += values[k * kLanes];
  }
}

void backward(const CrfGroup& group, const CrfMoves& moves, const float* saved, const CrfBackwardArgs& args) {
  const int64_t K = moves.K;
  const Floats* vectors = reinterpret_cast<const Floats*>(saved);
  Floats* beta = reinterpret_cast<Floats*>(args.scratch);  // [K]
  Floats* marginals = beta + K;                            // [K]
  PairSums pairs(marginals + K, K);
  Floats weights;
  for (int lane = 0; lane < kLanes; ++lane) weights[lane] = lane < group.count ? args.weights[lane] : 0.0f;
  for (int64_t k = 0; k < K; ++k) beta[k] = Floats{};
  for (int64_t t = group.steps - 1; t >= 0; --t) {
    const Floats* step = vectors + t * (2 * K + 2);
    const Floats* x = step + 2;
    const Floats* alpha = x + K;
    const Ints ends = running_lanes(group, t) & ~running_lanes(group, t + 1);
    bool any_ends = false;
    for (int lane = 0; lane < group.count; ++lane) any_ends = any_ends || group.length[lane] == t + 1;
    if (any_ends) start_lanes(moves, alpha, ends, weights, beta);
    for (int64_t k = 0; k < K; ++k) marginals[k] = alpha[k] * beta[k];
    if (t % kRescaleSteps == 0) rescale(K, running_lanes(group, t), weights, marginals, beta);
    for (int64_t k = 0; k < K; ++k) marginals[k] *= weights;
    add_marginals(group, t, K, marginals, args.d_emissions);
    if (any_ends && args.d_transitions != nullptr) {
      for (int64_t k = 0; k < K; ++k) args.d_end[k] += sum_of_lanes(select(ends, marginals[k], Floats{}));
    }
    if (t == 0) break;
    Floats* onward = pairs.next_step(alpha - (2 * K + 2));
    for (int64_t k = 0; k < K; ++k) onward[k] = beta[k] * (x[k] * step[1]);  // beta * x alone could vanish
    times_matrix(onward, moves.backward_kk, K, beta);
    if (args.d_transitions == nullptr) {
      pairs.forget();
    } else if (t % kTakenSteps == 0) {
      pairs.take(moves.forward_kk, weights, args.d_transitions);
    } else {
      pairs.flush_if_full();
    }
  }
  if (args.d_transitions == nullptr || group.steps == 0) return;
  for (int64_t k = 0; k < K; ++k) args.d_start[k] += sum_of_lanes(marginals[k]);
  pairs.take(moves.forward_kk, weights, args.d_transitions);
}

}  // namespace

extern const CrfKernels kCrfKernels;
const CrfKernels kCrfKernels{kLanes, backward_floats, scan, forward, backward, crf_viterbi};

}  // namespace albert_ner::core::ALBERT_NER_ISA
