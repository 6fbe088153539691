// The thread of a session: tasks run on it one after another, first in, first out. It owns the settings
// of its thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace albert_ner::runtime {

/// Physical cores this process may use: at most its affinity mask and the cgroup's CPU quota, at least 1.
int default_thread_count();

class Executor {
 public:
  /// Starts the session's thread and those that compute for it; 0: as many as default_thread_count says. Throws
  /// kIo when the system refuses the session's own thread.
  explicit Executor(int threads);
  /// As `stop`.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Those in effect: fewer than asked for where the system has no more threads to give.
  int threads() const { return threads_; }
  /// A task runs with `run` true, or is dropped with `run` false because the executor stopped; it is called
  /// once either way, on the executor's thread or on the one that stops it, and must not throw.
  using Task = std::function<void(bool run)>;
  void submit(Task task);
  /// Drops what waits, lets the running task finish, then runs `last` on the thread, which ends. Returns at
  /// once. Only the first call counts.
  void request_stop(const std::function<void()>& last = {});
  /// Stops and joins; must not run on the executor's own thread. Idempotent.
  void stop();

 private:
  void loop();

  int threads_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  std::function<void()> last_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace albert_ner::runtime
