// What the addon keeps per JavaScript environment (main thread or worker): the way results come back, the
// live sessions, the constructors of its classes. Nothing of the addon is static.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
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

  /// From any thread: runs `body` on the JavaScript thread, or never when the environment is ending.
  void on_js_thread(std::function<void(Napi::Env)> body);

  /// Set when the environment is torn down; every task polls it.
  const std::shared_ptr<runtime::CancelToken>& teardown() const { return teardown_; }
  void add(Stoppable* session) { sessions_.insert(session); }
  void remove(Stoppable* session) { sessions_.erase(session); }

  /// Ends every session. Runs when the environment is freed, and before a process exits without freeing it:
  /// a thread must not work on while libtorch's static objects are destroyed. Idempotent.
  void tear_down();

  Napi::FunctionReference feature_store_constructor;

 private:
  Napi::ThreadSafeFunction queue_;
  int64_t pending_ = 0;
  std::shared_ptr<runtime::CancelToken> teardown_ = std::make_shared<runtime::CancelToken>();
  std::set<Stoppable*> sessions_;
};

}  // namespace albert_ner::binding
