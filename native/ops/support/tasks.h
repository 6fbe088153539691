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

/// body(first row, rows) for each block of up to 256 rows, in parallel.
template <typename Body>
void for_each_block(int64_t N, Body body) {
  constexpr int64_t kRows = 256;
  for_each_task((N + kRows - 1) / kRows,
                [&](int64_t block) { body(block * kRows, std::min(kRows, N - block * kRows)); });
}

}  // namespace albert_ner::ops
