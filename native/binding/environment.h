// What the addon keeps per JavaScript environment (main thread or worker): the way results come back, the
// live sessions, the constructors of its classes. Nothing of the addon is static.
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "runtime/cancel_token.h"

namespace albert_ner::binding {

/// Something with a thread that has to end before the environment does.
class Stoppable {
 public:
  virtual ~Stoppable() = default;
  /// Cancels what runs, drops what waits, joins. Idempotent; what comes later is dropped.
  virtual void stop() = 0;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);

  /// The environment's instance data.
  static Environment& of(Napi::Env env);

  /// Calls from the JavaScript thread around each pending promise: the process stays alive while there is
  /// one.
  void add_pending(Napi::Env env);
  void remove_pending(Napi::Env env);

  using Body = std::function<void(Napi::Env)>;
  /// From any thread: runs `body` on the JavaScript thread, in the order of the calls, or frees it without
  /// running it when the environment ends first.
  void on_js_thread(Body body);

  /// Set when the environment is torn down; every task polls it.
  const std::shared_ptr<runtime::CancelToken>& teardown() const { return teardown_; }
  /// Throws kDisposed once the environment was torn down.
  void add(Stoppable* session);
  void remove(Stoppable* session) { sessions_.erase(session); }

  /// Ends every session and frees every result that waits. Runs when the environment is freed, and before a
  /// process exits without freeing it: a thread must not work on while libtorch's static objects are
  /// destroyed. JavaScript may run and collect sessions between the two. Idempotent.
  void tear_down();

  Napi::FunctionReference feature_store_constructor;

 private:
  void run_next(Napi::Env env);

  /// Called once for each body of `bodies_`. It carries none of them itself: what waits in it when its
  /// environment ends is never freed.
  Napi::ThreadSafeFunction queue_;
  std::mutex bodies_mutex_;
  std::deque<Body> bodies_;
  int64_t pending_ = 0;
  std::shared_ptr<runtime::CancelToken> teardown_ = std::make_shared<runtime::CancelToken>();
  std::set<Stoppable*> sessions_;
  bool torn_down_ = false;
};

}  // namespace albert_ner::binding
