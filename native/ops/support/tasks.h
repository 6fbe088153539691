// How float32 layers split their work: by the batch only, never by the number of threads, so that results
// don't depend on it either.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace albert_ner::ops {

/// body(task) for each task, in parallel.
template <typename Body>
void for_each_task(int64_t count, Body body) {
  at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) body(task);
  });
}

constexpr int64_t kBlockRows = 256;

inline int64_t block_count(int64_t N) {
  return (N + kBlockRows - 1) / kBlockRows;
}

/// body(first row, rows) for each block of up to kBlockRows rows, in parallel.
template <typename Body>
void for_each_block(int64_t N, Body body) {
  for_each_task(block_count(N), [&](int64_t block) {
    body(block * kBlockRows, std::min(kBlockRows, N - block * kBlockRows));
  });
}

}  // namespace albert_ner::ops
