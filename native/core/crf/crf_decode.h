// Decoding in log space and float64: best paths, the best n of them, and the alphas and betas of every row.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "core/crf/crf_log_space.h"
#include "core/crf/crf_math.h"
#include "core/crf/crf_scores.h"

namespace albert_ner::core {

/// Best path of one sentence into tags_n; returns its score: 0 when empty, -inf and no tags without a legal
/// path.
template <typename scalar_t>
double viterbi(const Scores<scalar_t>& scores, int64_t sentence, std::vector<double>& scratch_2k,
               std::vector<int32_t>& back_tk, int32_t* tags_n) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) return 0;
  back_tk.resize((end - begin) * K);
  double* best = scratch_2k.data();
  double* next = best + K;
  for (int64_t j = 0; j < K; ++j) best[j] = scores.start_k[j] + scores.emission(begin, j);
  for (int64_t row = begin + 1; row < end; ++row) {
    for (int64_t j = 0; j < K; ++j) {
      const HighestTerm arriving =
          highest_term(K, [&](int64_t i) { return best[i] + scores.transition(i, j); });
      next[j] = arriving.score + scores.emission(row, j);
      back_tk[(row - begin) * K + j] = arriving.index;
    }
    std::swap(best, next);
  }
  auto [highest, tag] = highest_term(K, [&](int64_t j) { return best[j] + scores.end_k[j]; });
  if (highest == kNegativeInfinity) return highest;
  // A tag with a score above -inf was reached from one with a score above -inf: the path is legal throughout.
  for (int64_t row = end - 1; row >= begin; --row) {
    tags_n[row] = tag;
    tag = back_tk[(row - begin) * K + tag];
  }
  return highest;
}

/// Best paths of every sentence; their scores, -inf where there is none.
template <typename scalar_t>
void viterbi_in_log_space(const Scores<scalar_t>& scores, int32_t* tags_n, std::vector<double>& score_b) {
  for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> scratch_2k(2 * scores.shape.K);
    std::vector<int32_t> back_tk;
    for (int64_t b = first; b < last; ++b) score_b[b] = viterbi(scores, b, scratch_2k, back_tk, tags_n);
  });
}

/// A way to a tag: its score, the tag before and which of that tag's ways it goes on from.
struct Way {
  double score;
  int32_t from;
  int32_t rank;
};

/// Best first; of equal ones the lower tag before, then that tag's better way.
inline bool is_better(const Way& a, const Way& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.from != b.from ? a.from < b.from : a.rank < b.rank;
}

/// Keeps the best `count` of the ways above -inf.
inline void keep_best(std::vector<Way>& ways, int64_t count) {
  const auto legal =
      std::remove_if(ways.begin(), ways.end(), [](const Way& way) { return way.score == kNegativeInfinity; });
  ways.erase(legal, ways.end());
  const int64_t kept = std::min<int64_t>(count, static_cast<int64_t>(ways.size()));
  std::partial_sort(ways.begin(), ways.begin() + kept, ways.end(), is_better);
  ways.resize(kept);
}

/// The best `count` paths of one sentence into paths[rank * N + row] with their scores; ranks that no path
/// has stay as they are. Returns whether there is any. Source: Seshadri and Sundberg 1994, the parallel
/// algorithm.
template <typename scalar_t>
bool best_paths(const Scores<scalar_t>& scores, int64_t sentence, int64_t count, int32_t* paths,
                double* path_scores) {
  const int64_t K = scores.shape.K;
  const auto [begin, end] = scores.rows(sentence);
  if (begin == end) {
    path_scores[0] = 0;
    return true;
  }
  std::vector<std::vector<Way>> ways((end - begin) * K);  // [T, K], best first
  for (int64_t j = 0; j < K; ++j) {
    ways[j].push_back({scores.start_k[j] + scores.emission(begin, j), 0, 0});
    keep_best(ways[j], count);
  }
  for (int64_t t = 1; t < end - begin; ++t) {
    for (int64_t j = 0; j < K; ++j) {
      std::vector<Way>& here = ways[t * K + j];
      for (int32_t i = 0; i < K; ++i) {
        const std::vector<Way>& before = ways[(t - 1) * K + i];
        for (size_t rank = 0; rank < before.size(); ++rank) {
          here.push_back({before[rank].score + scores.transition(i, j), i, static_cast<int32_t>(rank)});
        }
      }
      keep_best(here, count);
      for (Way& way : here) way.score += scores.emission(begin + t, j);
    }
  }
  std::vector<Way> last;
  for (int32_t j = 0; j < K; ++j) {
    const std::vector<Way>& before = ways[(end - begin - 1) * K + j];
    for (size_t rank = 0; rank < before.size(); ++rank) {
      last.push_back({before[rank].score + scores.end_k[j], j, static_cast<int32_t>(rank)});
    }
  }
  keep_best(last, count);
  for (size_t place = 0; place < last.size(); ++place) {
    path_scores[place] = last[place].score;
    Way way = last[place];
    for (int64_t row = end - 1; row >= begin; --row) {
      paths[static_cast<int64_t>(place) * scores.shape.N + row] = way.from;
      way = ways[(row - begin) * K + way.from][way.rank];
    }
  }
  return !last.empty();
}

/// log Z of every sentence; alphas_nk and betas_nk of every row.
template <typename scalar_t>
std::vector<double> forward_backward(const Scores<scalar_t>& scores, double* alphas_nk, double* betas_nk) {
  const int64_t K = scores.shape.K;
  std::vector<double> log_z(scores.shape.B);
  for_each_chunk(scores.shape.B, [&](int64_t, int64_t first, int64_t last) {
    std::vector<double> scratch_2k(2 * K);
    for (int64_t b = first; b < last; ++b) {
      log_z[b] = forward(scores, b, alphas_nk + scores.rows(b).begin * K);
      for_each_beta(scores, b, scratch_2k, [&](int64_t row, const double* row_k) {
        std::copy(row_k, row_k + K, betas_nk + row * K);
      });
    }
  });
  check_paths(log_z);
  return log_z;
}

}  // namespace albert_ner::core
