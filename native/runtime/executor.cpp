#include "runtime/executor.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <latch>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "common/error.h"
#include "runtime/cpu_quota.h"
#include "runtime/flush_subnormals.h"

namespace albert_ner::runtime {
namespace {

/// Distinct physical cores among the CPUs this process may run on; 0 when the system doesn't say.
int physical_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 0;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string package;
    std::string core;
    std::ifstream(folder + "physical_package_id") >> package;
    std::ifstream(folder + "core_id") >> core;
    cores.insert(core.empty() ? "cpu" + std::to_string(cpu) : package + ":" + core);
  }
  return static_cast<int>(cores.size());
#else
  return 0;
#endif
}

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

/// Threads that others may start meanwhile: Node's own.
constexpr int kSpareThreads = 4;

/// `wanted`, or half of what the system lets this process start where that is less: a pool that can't start its
/// threads ends the process.
int startable_threads(int wanted) {
#if defined(_OPENMP)
  wanted = std::max(std::min(wanted, omp_get_thread_limit()), 1);
#endif
  std::vector<std::thread> started;
  std::vector<long> numbers(static_cast<size_t>(wanted + kSpareThreads));
  started.reserve(numbers.size());
  std::latch all_started(1);
  bool limited = false;
  try {
    for (long& number : numbers) {
      started.emplace_back([&number, &all_started] {
        number = own_number();
        all_started.wait();
      });
    }
  } catch (const std::exception&) {
    limited = true;  // by number, or there is no memory for another stack
  }
  all_started.count_down();
  for (std::thread& thread : started) thread.join();
  for (size_t k = 0; k < started.size(); ++k) await_end(numbers[k]);
  if (!limited) return wanted;
  return std::clamp(static_cast<int>(started.size()) / 2, 1, wanted);
}

}  // namespace

int default_thread_count() {
  int cores = physical_cores();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  const double quota = cgroup_cpus("");
  if (quota < cores) cores = static_cast<int>(std::ceil(quota));
  return std::max(cores, 1);
}

Executor::Executor(int threads)
    : threads_(startable_threads(threads > 0 ? threads : default_thread_count())) {
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::kIo,
                std::string("Expected a thread for the session but the system refuses one (") + error.what() +
                    "); raise the limit of threads (ulimit -u, pids.max)");
  }
}

Executor::~Executor() {
  stop();
}

void Executor::stop() {
  request_stop();
  if (thread_.joinable()) thread_.join();
}

void Executor::submit(Task task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(task));
      wake_.notify_one();
      return;
    }
  }
  task(false);
}

void Executor::request_stop(const std::function<void()>& last) {
  std::deque<Task> dropped;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    last_ = last;
    dropped.swap(queue_);
    wake_.notify_one();
  }
  for (Task& task : dropped) task(false);
}

void Executor::loop() {
  // Each library that holds libtorch's inline flag "this thread is set up" has a copy of it, and a copy that
  // is down lets the first parallel operator take the count that the process set last, maybe for another
  // session.
  at::internal::lazy_init_num_threads();  // ours
  at::get_num_threads();                  // libtorch's
  // The first count set in a process is also the size of a pool that nobody here uses, QNNPACK's, which waits for
  // ever for a thread that can't be had. A pool of one is the caller itself.
  at::set_num_threads(1);
  at::set_num_threads(threads_);
  const FlushSubnormals flush;  // before the first parallel operator, whose threads inherit it
  at::parallel_for(0, threads_, 1, [](int64_t, int64_t) {});  // they start now, while there is room for them
  at::NoGradGuard no_grad;
  for (;;) {
    Task task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task(true);
  }
  if (last_) last_();
}

}  // namespace albert_ner::runtime
