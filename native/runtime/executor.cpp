#include "runtime/executor.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "common/error.h"
#include "core/parallel.h"
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

}  // namespace

int default_thread_count() {
  int cores = physical_cores();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  const double quota = cgroup_cpus("");
  if (quota < cores) cores = static_cast<int>(std::ceil(quota));
  return std::max(cores, 1);
}

Executor::Executor(int threads) {
  std::promise<int> promised;
  std::future<int> started = promised.get_future();
  const int wanted = threads > 0 ? threads : default_thread_count();
  try {
    thread_ = std::thread([this, wanted, promise = std::move(promised)]() mutable {
      const FlushSubnormals flush;  // before the team starts, whose threads inherit it
      promise.set_value(core::start_team(wanted));
      loop();
    });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::kIo,
                std::string("Expected a thread for the session but the system refuses one (") + error.what() +
                    "); raise the limit of threads (ulimit -u, pids.max)");
  }
  threads_ = started.get();
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
