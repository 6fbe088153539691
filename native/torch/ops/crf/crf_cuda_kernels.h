// What runs on the device for crf_cuda.cu: kernels and what they share, no tensors. Included there only.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/crf/crf_math.h"
#include "torch/support/launch.h"

namespace albert_ner::ops {
namespace {

/// More tags than this don't fit into shared memory as float64.
constexpr int64_t kWarpTags = 64;
constexpr int kBlockThreads = 128;

struct Larger {
  __device__ double operator()(double a, double b) const { return a > b ? a : b; }
};

struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
};

/// Over a warp; every lane gets the same bits, since each pair is combined alike in both lanes.
template <typename Combine>
__device__ double reduce_warp(double value, Combine combine) {
  for (int bits = kWarpThreads / 2; bits > 0; bits /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, bits));
  }
  return value;
}

/// The threads of a block, which work on a sentence: one warp or several.
template <int Threads>
struct TeamOf {
  static constexpr int kThreads = Threads;
  static constexpr int kWarps = Threads / kWarpThreads;

  __device__ void sync() const {
    if constexpr (kWarps == 1) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  /// Every thread gets the same bits.
  template <typename Combine>
  __device__ double reduce(double value, Combine combine) const {
    value = reduce_warp(value, combine);
    if constexpr (kWarps == 1) {
      return value;
    } else {
      ALBERT_NER_SHARED(double, of_warps, kWarps);
      if (threadIdx.x % kWarpThreads == 0) of_warps[threadIdx.x / kWarpThreads] = value;
      __syncthreads();
      value = of_warps[0];
      for (int warp = 1; warp < kWarps; ++warp) value = combine(value, of_warps[warp]);
      __syncthreads();  // before the array is written again
      return value;
    }
  }

  /// The terms k in [0, count), spread over the threads, combined with each other and with `neutral`.
  template <typename Term, typename Combine>
  __device__ double reduce_terms(int64_t count, double neutral, Term term, Combine combine) const {
    double value = neutral;
    for (int64_t k = threadIdx.x; k < count; k += kThreads) value = combine(value, term(k));
    return reduce(value, combine);
  }
};

using WarpTeam = TeamOf<kWarpThreads>;
using BlockTeam = TeamOf<kBlockThreads>;

/// sum_k exp(term(k)), the terms spread over a team.
template <typename Team, typename Term>
__device__ ScaledSum team_sum_exp(const Team& team, int64_t count, Term term) {
  const double largest = team.reduce_terms(count, -HUGE_VAL, term, Larger());
  const double sum =
      team.reduce_terms(count, 0.0, [&](int64_t k) { return std::exp(term(k) - largest); }, Sum());
  return {largest, sum};
}

struct Rows {
  int64_t begin;
  int64_t end;
};

/// The rows of a sentence.
__device__ inline Rows rows_of(const CrfShape& shape, const int32_t* offsets, int64_t sentence) {
  const Rows rows{offsets[sentence], offsets[sentence + 1]};
  ALBERT_NER_DEVICE_ASSERT(rows.begin >= 0 && rows.begin <= rows.end && rows.end <= shape.N);
  return rows;
}

/// A tag, which addresses memory.
__device__ inline int32_t checked_tag(int32_t tag, int64_t K) {
  ALBERT_NER_DEVICE_ASSERT(tag >= 0 && tag < K);
  return tag;
}

template <typename scalar_t>
struct Scores {
  CrfShape shape;
  const scalar_t* emissions_nk;
  const int32_t* offsets;
  const double* transitions_kk;
  const scalar_t* start_k;
  const scalar_t* end_k;

  __device__ Rows rows(int64_t sentence) const { return rows_of(shape, offsets, sentence); }
  __device__ double emission(int64_t row, int64_t tag) const {
    return static_cast<double>(emissions_nk[row * shape.K + tag]);
  }
};

/// Transition counts of a sentence, then counts of its first and of its last tag.
ALBERT_NER_HOST_DEVICE inline int64_t counts_width(int64_t K) {
  return K * K + 2 * K;
}

/// What a launch writes. Null: not wanted.
struct Lattice {
  double* log_scores_b;    // log Z, or the nll where tags are given
  double* alphas_nk;       // log space
  double* betas_nk;        // log space
  ScaledSum* arrivals_nk;  // the sums whose logarithms are in alphas_nk; with counts_bw only
  double* marginals_nk;    // less 1 at the tags, where given
  double* counts_bw;       // expected less observed, [B, counts_width]
  const int32_t* tags_n;   // in
};

/// Alphas and betas of one sentence: row t of the one and row T-1-t of the other at once.
template <typename Team, typename scalar_t>
__device__ void fill_lattice(const Team& team, const Scores<scalar_t>& scores, const Rows& rows,
                             const Lattice& lattice) {
  const int64_t K = scores.shape.K;
  for (int64_t step = 0; step < rows.end - rows.begin; ++step) {
    const int64_t front = rows.begin + step;
    const int64_t back = rows.end - 1 - step;
    for (int64_t k = threadIdx.x; k < K; k += Team::kThreads) {
      double alpha = 0;
      if (step == 0) {
        alpha = static_cast<double>(scores.start_k[k]);
      } else {
        const double* previous = lattice.alphas_nk + (front - 1) * K;
        const ScaledSum arriving = arriving_sum(K, scores.transitions_kk, previous, k);
        if (lattice.arrivals_nk != nullptr) lattice.arrivals_nk[front * K + k] = arriving;
        alpha = log_of(arriving);
      }
      lattice.alphas_nk[front * K + k] = alpha + scores.emission(front, k);
      lattice.betas_nk[back * K + k] =
          step == 0 ? static_cast<double>(scores.end_k[k])
                    : beta_step(K, scores.transitions_kk, scores.emissions_nk + (back + 1) * K,
                                lattice.betas_nk + (back + 1) * K, k);
    }
    team.sync();
  }
}

/// log Z, or log Z less the score of the given tags.
template <typename Team, typename scalar_t>
__device__ double log_score(const Team& team, const Scores<scalar_t>& scores, const Rows& rows,
                            const Lattice& lattice) {
  const int64_t K = scores.shape.K;
  const double* alphas = lattice.alphas_nk + (rows.end - 1) * K;
  const double log_z = log_of(
      team_sum_exp(team, K, [&](int64_t k) { return alphas[k] + static_cast<double>(scores.end_k[k]); }));
  if (lattice.tags_n == nullptr) return log_z;
  double path = 0;
  for (int64_t row = rows.begin + threadIdx.x; row < rows.end; row += Team::kThreads) {
    const int32_t tag = checked_tag(lattice.tags_n[row], K);
    path += scores.emission(row, tag);
    path += row == rows.begin ? static_cast<double>(scores.start_k[tag])
                              : scores.transitions_kk[checked_tag(lattice.tags_n[row - 1], K) * K + tag];
    if (row == rows.end - 1) path += static_cast<double>(scores.end_k[tag]);
  }
  const double nll = log_z - team.reduce(path, Sum());
  if (log_z == -HUGE_VAL) return ::nan("");
  // Rounding may put the path's score an ulp above log Z; a likelihood above 1 doesn't exist.
  return nll < 0 ? 0 : nll;
}

template <typename Team, typename scalar_t>
__device__ void fill_marginals(const Team& team, const Scores<scalar_t>& scores, const Rows& rows,
                               const Lattice& lattice) {
  const int64_t K = scores.shape.K;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    auto term = [&](int64_t k) { return lattice.alphas_nk[row * K + k] + lattice.betas_nk[row * K + k]; };
    const ScaledSum total = team_sum_exp(team, K, term);
    for (int64_t k = threadIdx.x; k < K; k += Team::kThreads) {
      lattice.marginals_nk[row * K + k] = share_of(total, term(k));
    }
  }
}

/// Expected moves into the tags of this thread, sum_t P(y_t-1 = i | y_t = j) P(y_t = j), less the observed
/// ones.
template <typename Team, typename scalar_t>
__device__ void fill_counts(const Scores<scalar_t>& scores, const Rows& rows, const Lattice& lattice,
                            double* counts_w) {
  const int64_t K = scores.shape.K;
  const int32_t* tags_n = lattice.tags_n;
  for (int64_t j = threadIdx.x; j < K; j += Team::kThreads) {
    for (int64_t i = 0; i < K; ++i) {
      double count = 0;
      for (int64_t row = rows.begin + 1; row < rows.end; ++row) {
        const double marginal = lattice.marginals_nk[row * K + j];
        const double term = lattice.alphas_nk[(row - 1) * K + i] + scores.transitions_kk[i * K + j];
        if (marginal != 0) count += marginal * share_of(lattice.arrivals_nk[row * K + j], term);
        if (tags_n != nullptr && tags_n[row - 1] == i && tags_n[row] == j) count -= 1;
      }
      counts_w[i * K + j] = count;
    }
    if (tags_n != nullptr) {
      for (int64_t row = rows.begin; row < rows.end; ++row) {
        if (tags_n[row] == j) lattice.marginals_nk[row * K + j] -= 1;
      }
    }
    const bool empty = rows.begin == rows.end;
    counts_w[K * K + j] = empty ? 0 : lattice.marginals_nk[rows.begin * K + j];
    counts_w[K * K + K + j] = empty ? 0 : lattice.marginals_nk[(rows.end - 1) * K + j];
  }
}

/// Moves the transitions into shared memory, where a warp has room for them.
template <typename Team, typename scalar_t>
__device__ void share_transitions(const Team& team, Scores<scalar_t>& scores) {
  if (Team::kWarps > 1) return;
  const int64_t count = scores.shape.K * scores.shape.K;
  double* shared_kk = dynamic_shared<double>();
  for (int64_t k = threadIdx.x; k < count; k += Team::kThreads) shared_kk[k] = scores.transitions_kk[k];
  scores.transitions_kk = shared_kk;
  team.sync();
}

/// One team per sentence, a block each.
template <typename Team, typename scalar_t>
__global__ void __launch_bounds__(Team::kThreads)
    crf_lattice_kernel(Scores<scalar_t> scores, Lattice lattice) {
  const Team team;
  const int64_t b = blockIdx.x;
  share_transitions(team, scores);
  const Rows rows = scores.rows(b);
  fill_lattice(team, scores, rows, lattice);
  const double score = rows.begin == rows.end ? 0 : log_score(team, scores, rows, lattice);
  if (threadIdx.x == 0) lattice.log_scores_b[b] = score;
  if (lattice.marginals_nk != nullptr) fill_marginals(team, scores, rows, lattice);
  if (lattice.counts_bw != nullptr) {
    fill_counts<Team>(scores, rows, lattice, lattice.counts_bw + b * counts_width(scores.shape.K));
  }
}

/// What a Viterbi launch writes; the first two are room to work in.
struct BestPaths {
  double* best_nk;
  int32_t* origins_nk;
  int32_t* tags_n;
  double* score_b;
};

template <typename Team, typename scalar_t>
__global__ void __launch_bounds__(Team::kThreads)
    crf_viterbi_kernel(Scores<scalar_t> scores, BestPaths paths) {
  const Team team;
  const int64_t K = scores.shape.K;
  share_transitions(team, scores);
  const Rows rows = scores.rows(blockIdx.x);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const double* before = paths.best_nk + (row - 1) * K;
    for (int64_t j = threadIdx.x; j < K; j += Team::kThreads) {
      HighestTerm arriving{static_cast<double>(scores.start_k[j]), 0};
      if (row > rows.begin) {
        arriving = highest_term(K, [&](int64_t i) { return before[i] + scores.transitions_kk[i * K + j]; });
      }
      paths.best_nk[row * K + j] = arriving.score + scores.emission(row, j);
      paths.origins_nk[row * K + j] = arriving.index;
    }
    team.sync();
  }
  if (threadIdx.x != 0) return;
  HighestTerm last{0, 0};
  if (rows.begin < rows.end) {
    const double* best = paths.best_nk + (rows.end - 1) * K;
    last = highest_term(K, [&](int64_t k) { return best[k] + static_cast<double>(scores.end_k[k]); });
  }
  int32_t tag = last.index;
  for (int64_t row = rows.end - 1; row >= rows.begin; --row) {
    paths.tags_n[row] = tag;
    tag = paths.origins_nk[row * K + tag];
  }
  paths.score_b[blockIdx.x] = last.score;
}

/// A place in a list of ways: the tag they lead to, and which of them.
struct WayOrigin {
  int32_t tag;
  int32_t rank;
};

/// The best ways to one place, in order; those behind the last have the score -inf.
struct Ways {
  double* scores_c;
  WayOrigin* origins_c;
};

/// What a launch for the best `count` paths writes; the first four are room to work in.
struct RankedPaths {
  int64_t count;
  double* scores_nkc;      // of the ways to each tag of each row
  WayOrigin* origins_nkc;  // where they come from
  WayOrigin* ends_bc;      // the same of the whole paths
  int32_t* heads_bkk;      // [B, from, to] how many of a tag's ways have been gone on from
  int32_t* paths_cn;       // -1 where there is no path
  double* path_scores_bc;  // -inf where there is none

  __device__ Ways ways(int64_t place) const {
    return {scores_nkc + place * count, origins_nkc + place * count};
  }
};

/// The best ways on from the lists of ways to K tags, whose ways all get the score move(tag): a merge of
/// sorted lists. Of equal scores the lower tag goes first, then its better way. heads_k[i * K] counts in list
/// i.
template <typename Move>
__device__ void merge_ways(int64_t K, int64_t count, const double* lists_kc, Move move, int32_t* heads_k,
                           const Ways& out) {
  for (int64_t i = 0; i < K; ++i) heads_k[i * K] = 0;
  for (int64_t rank = 0; rank < count; ++rank) {
    const HighestTerm best = highest_term(K, [&](int64_t i) {
      const int32_t head = heads_k[i * K];
      return head < count ? lists_kc[i * count + head] + move(i) : -HUGE_VAL;
    });
    out.scores_c[rank] = best.score;
    out.origins_c[rank] = {best.index, heads_k[best.index * K]++};
  }
}

/// Source: Seshadri and Sundberg 1994, the parallel algorithm. Left to itself the compiler counts on more
/// blocks at once than four, and then has too few registers.
template <typename Team, typename scalar_t>
__global__ void __launch_bounds__(Team::kThreads, 4)
    crf_nbest_kernel(Scores<scalar_t> scores, RankedPaths paths) {
  const Team team;
  const int64_t K = scores.shape.K;
  share_transitions(team, scores);
  const Rows rows = scores.rows(blockIdx.x);
  int32_t* heads_kk = paths.heads_bkk + blockIdx.x * K * K;
  const double* before_kc = paths.scores_nkc + (rows.begin - 1) * K * paths.count;
  for (int64_t row = rows.begin; row < rows.end; ++row, before_kc += K * paths.count) {
    for (int64_t j = threadIdx.x; j < K; j += Team::kThreads) {
      const Ways ways = paths.ways(row * K + j);
      if (row == rows.begin) {
        for (int64_t rank = 0; rank < paths.count; ++rank) ways.scores_c[rank] = -HUGE_VAL;
        ways.scores_c[0] = static_cast<double>(scores.start_k[j]);
      } else {
        merge_ways(
            K, paths.count, before_kc, [&](int64_t i) { return scores.transitions_kk[i * K + j]; },
            heads_kk + j, ways);
      }
      for (int64_t rank = 0; rank < paths.count; ++rank) ways.scores_c[rank] += scores.emission(row, j);
    }
    team.sync();
  }
  double* path_scores_c = paths.path_scores_bc + blockIdx.x * paths.count;
  if (rows.begin == rows.end) {
    for (int64_t rank = threadIdx.x; rank < paths.count; rank += Team::kThreads) {
      path_scores_c[rank] = rank == 0 ? 0 : -HUGE_VAL;
    }
    return;
  }
  const Ways last{path_scores_c, paths.ends_bc + blockIdx.x * paths.count};
  if (threadIdx.x == 0) {
    merge_ways(
        K, paths.count, before_kc, [&](int64_t k) { return static_cast<double>(scores.end_k[k]); }, heads_kk,
        last);
  }
  team.sync();
  for (int64_t rank = threadIdx.x; rank < paths.count; rank += Team::kThreads) {
    const bool exists = last.scores_c[rank] > -HUGE_VAL;
    WayOrigin origin = last.origins_c[rank];
    for (int64_t row = rows.end - 1; row >= rows.begin; --row) {
      paths.paths_cn[rank * scores.shape.N + row] = exists ? origin.tag : -1;
      if (exists && row > rows.begin) origin = paths.ways(row * K + origin.tag).origins_c[origin.rank];
    }
  }
}

/// d_emissions of the sentences' rows: what was saved times the weight of the sentence. A block per sentence.
template <typename scalar_t>
__global__ void __launch_bounds__(kBlockThreads)
    crf_weigh_kernel(CrfShape shape, const int32_t* offsets, const scalar_t* grad_b, const double* saved_nk,
                     scalar_t* d_emissions_nk) {
  const Rows rows = rows_of(shape, offsets, blockIdx.x);
  const double weight = static_cast<double>(grad_b[blockIdx.x]);
  for (int64_t k = rows.begin * shape.K + threadIdx.x; k < rows.end * shape.K; k += kBlockThreads) {
    d_emissions_nk[k] = static_cast<scalar_t>(weight * saved_nk[k]);
  }
}

template <typename scalar_t>
struct TransitionGradients {
  scalar_t* transitions_kk;
  scalar_t* start_k;
  scalar_t* end_k;
};

/// Weighted sums of the counts, in the order of the sentences. A thread per count.
template <typename scalar_t>
__global__ void __launch_bounds__(kBlockThreads)
    crf_add_counts_kernel(CrfShape shape, const scalar_t* grad_b, const double* counts_bw,
                          TransitionGradients<scalar_t> out) {
  const int64_t K = shape.K;
  const int64_t width = counts_width(K);
  const int64_t k = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (k >= width) return;
  double total = 0;
  for (int64_t b = 0; b < shape.B; ++b) total += static_cast<double>(grad_b[b]) * counts_bw[b * width + k];
  scalar_t* place = k < K * K       ? out.transitions_kk + k
                    : k < K * K + K ? out.start_k + (k - K * K)
                                    : out.end_k + (k - K * K - K);
  *place = static_cast<scalar_t>(total);
}

struct SpanShape {
  int64_t S;
  int64_t B;
};

/// A thread per span.
template <typename scalar_t>
__global__ void __launch_bounds__(kBlockThreads)
    crf_span_kernel(CrfSpanTables<scalar_t> tables, SpanShape shape, const int32_t* offsets,
                    const int32_t* spans_s2, scalar_t* posteriors_s) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (s >= shape.S) return;
  const int32_t first = spans_s2[2 * s];
  const int32_t last = spans_s2[2 * s + 1];
  // The first offset past `first` ends the sentence that holds it.
  int64_t low = 0;
  int64_t high = shape.B;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (offsets[middle] > first) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  ALBERT_NER_DEVICE_ASSERT(first >= 0 && first < last && last <= offsets[low]);
  for (int64_t row = first; row < last; ++row) checked_tag(tables.tags_n[row], tables.K);
  posteriors_s[s] = static_cast<scalar_t>(crf_span_probability(tables, first, last, offsets[low]));
}

}  // namespace
}  // namespace albert_ner::ops
