// The only door to threads. How a layer splits its work depends on the batch only, never on the number of
// threads, and neither do its results. Which threads there are is said by the one source file of the build that
// defines the functions: torch/support/parallel_torch.cpp shares libtorch's with its operators.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace albert_ner::core {

/// Starts the calling thread's team of up to `threads`, at least 1, itself included, and returns how many it
/// has: fewer where the system or OMP_THREAD_LIMIT allows no more.
int start_team(int threads);

/// Threads of a loop that the calling thread starts, itself included; 1 inside of such a loop.
int64_t thread_count();

/// Calls run(context, member) for each member of [0, members) and returns when all are done; at most
/// thread_count() at the same time. Throws what a member threw.
void run_team(int64_t members, void (*run)(void* context, int64_t member), void* context);

/// body(member) for the members 0, 1, … of a team: thread_count() of them but no more than `most`. A member
/// is one thread at a time, so memory of its own needs no lock.
template <typename Body>
void for_each_member(int64_t most, Body body) {
  const int64_t members = std::min(thread_count(), most);
  if (members == 1) return body(int64_t{0});
  run_team(members, [](void* context, int64_t member) { (*static_cast<Body*>(context))(member); }, &body);
}

/// body(task, member) for each task; each member has a stretch of the tasks.
template <typename Body>
void for_each_task_of_members(int64_t count, Body body) {
  const int64_t members = std::min(thread_count(), count);
  for_each_member(members, [&](int64_t member) {
    const int64_t end = count * (member + 1) / members;
    for (int64_t task = count * member / members; task < end; ++task) body(task, member);
  });
}

template <typename Body>
void for_each_task(int64_t count, Body body) {
  for_each_task_of_members(count, [&](int64_t task, int64_t) { body(task); });
}

/// body(task, member) for each task; a member takes the next one when it is done with its last. For tasks of
/// different size, the largest first.
template <typename Body>
void for_each_task_in_turn(int64_t count, Body body) {
  std::atomic<int64_t> next{0};
  for_each_member(count, [&](int64_t member) {
    for (int64_t task = next++; task < count; task = next++) body(task, member);
  });
}

/// body(first, number) for stretches of up to `size` of `count` elements.
template <typename Body>
void for_each_stretch(int64_t count, int64_t size, Body body) {
  for_each_task((count + size - 1) / size,
                [&](int64_t task) { body(task * size, std::min(size, count - task * size)); });
}

constexpr int64_t kBlockRows = 256;

inline int64_t block_count(int64_t N) {
  return (N + kBlockRows - 1) / kBlockRows;
}

/// body(first row, rows) for each block of up to kBlockRows rows.
template <typename Body>
void for_each_block(int64_t N, Body body) {
  for_each_stretch(N, kBlockRows, body);
}

}  // namespace albert_ner::core
