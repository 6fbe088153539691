// Teams of libtorch's threads: OpenMP's pool of the calling thread. Compiled with OpenMP, of which
// at::parallel_for is a template.
#include <ATen/Parallel.h>

#include "core/parallel.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <exception>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

namespace albert_ner::core {

int64_t thread_count() {
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

void run_team(int64_t members, void (*run)(void* context, int64_t member), void* context) {
  at::parallel_for(0, members, 1, [&](int64_t first, int64_t last) {
    for (int64_t member = first; member < last; ++member) run(context, member);
  });
}

namespace {

#if defined(__linux__)
long own_number() {
  return syscall(SYS_gettid);
}

bool exists(long thread) {
  return syscall(SYS_tgkill, getpid(), thread, 0) == 0;
}
#else
long own_number() {
  return 0;
}

bool exists(long) {
  return false;
}
#endif

/// A joined thread counts against the limits until the system has let go of it, a moment later.
void await_end(long thread) {
  constexpr int kMostTries = 100'000;  // the number may be another thread's by now
  for (int tries = 0; tries < kMostTries && exists(thread); ++tries) std::this_thread::yield();
}

/// Starts up to `count` threads at once, and ends them. Returns how many the system granted.
int startable_threads(int count) {
  std::vector<std::thread> started;
  std::vector<long> numbers(static_cast<size_t>(count));
  started.reserve(numbers.size());
  std::latch all_started(1);
  try {
    for (long& number : numbers) {
      started.emplace_back([&number, &all_started] {
        number = own_number();
        all_started.wait();
      });
    }
  } catch (const std::exception&) {
    // No more than these: a limit of their number, or no memory for another stack.
  }
  all_started.count_down();
  for (std::thread& thread : started) thread.join();
  for (size_t k = 0; k < started.size(); ++k) await_end(numbers[k]);
  return static_cast<int>(started.size());
}

}  // namespace

// OpenMP would start its threads at the first parallel operator, and end the process when it can't.
int start_team(int threads) {
  // Two teams must not count on the same threads.
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  // Each library that holds libtorch's inline flag "this thread is set up" has a copy of it, and a copy that is
  // down lets the first parallel operator take the count that the process set last, maybe for another session.
  at::internal::lazy_init_num_threads();  // ours
  at::get_num_threads();                  // libtorch's
  // The first count set in a process is also the size of a pool that nobody here uses, QNNPACK's, which waits for
  // ever for a thread that can't be had. A pool of one is the caller itself.
  at::set_num_threads(1);
#if defined(_OPENMP)
  threads = std::min(threads, omp_get_thread_limit());
#endif
  threads = 1 + startable_threads(std::max(threads, 1) - 1);
  at::set_num_threads(threads);
  at::parallel_for(0, threads, 1, [](int64_t, int64_t) {});
  return threads;
}

}  // namespace albert_ner::core
