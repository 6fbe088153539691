// One asynchronous call: run on a session's thread, converted and settled on the JavaScript thread.
//
// Life: the task holds a reference to the JavaScript object it was called on until it settles, so neither
// session nor model can be collected under it. It settles exactly once: with its result, its error, or
// ERR_DISPOSED when dropped. When its environment ends first it is freed unsettled.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "binding/environment.h"
#include "binding/errors.h"
#include "common/error.h"
#include "runtime/executor.h"

namespace albert_ner::binding {

/// Counts the tasks that live in the process, in all environments; the tests look whether one was lost.
class LiveTask {
 public:
  LiveTask() { ++count_; }
  ~LiveTask() { --count_; }
  LiveTask(const LiveTask&) = delete;
  LiveTask& operator=(const LiveTask&) = delete;
  static int64_t count() { return count_; }

 private:
  inline static std::atomic<int64_t> count_ = 0;
};

/// The end of a promise. Settling frees the deferred, also where it fails, so a second time would use freed
/// memory: it does nothing, and is counted for the tests.
class Settlement {
 public:
  explicit Settlement(Napi::Env env) : deferred_(env) {}
  Settlement(const Settlement&) = delete;
  Settlement& operator=(const Settlement&) = delete;

  Napi::Value promise() const { return deferred_.Promise(); }
  /// Both throw Napi::Error when JavaScript can't run any more.
  void resolve(Napi::Value value) {
    if (is_first()) deferred_.Resolve(value);
  }
  void reject(Napi::Value error) {
    if (is_first()) deferred_.Reject(error);
  }
  static int64_t repeated() { return repeated_; }

 private:
  bool is_first() {
    const bool settled = std::exchange(settled_, true);
    if (settled) ++repeated_;
    return !settled;
  }

  const Napi::Promise::Deferred deferred_;
  bool settled_ = false;
  inline static std::atomic<int64_t> repeated_ = 0;
};

template <typename Result>
class PromiseTask {
 public:
  using Run = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  /// Queues the call and returns its promise. `kept`: an object whose memory `run` reads; none: undefined.
  static Napi::Value start(runtime::Executor& executor, Napi::Object self, Run run, Convert convert,
                           Napi::Value kept) {
    const Napi::Env env = self.Env();
    auto task = std::make_shared<PromiseTask>(env, self, std::move(run), std::move(convert));
    if (kept.IsObject()) task->kept_ = Napi::Persistent(kept.As<Napi::Object>());
    task->kept_.SuppressDestruct();
    task->environment_.add_pending(env);
    const Napi::Value promise = task->settlement_.promise();
    executor.submit([task](bool running) {
      task->work(running);
      Environment& environment = task->environment_;
      environment.on_js_thread([task](Napi::Env js) { task->settle(js); });
    });
    return promise;
  }

  PromiseTask(Napi::Env env, Napi::Object self, Run run, Convert convert)
      : environment_(Environment::of(env)),
        settlement_(env),
        self_(Napi::Persistent(self)),
        run_(std::move(run)),
        convert_(std::move(convert)) {
    self_.SuppressDestruct();  // An environment that ends with calls in flight frees its references itself.
  }

 private:
  void work(bool running) {
    try {
      if (!running) throw Error(ErrorCode::kDisposed, "The session was disposed of before the call ran");
      result_.emplace(run_());
    } catch (...) {
      failure_ = std::current_exception();
    }
    run_ = nullptr;
  }

  void settle(Napi::Env env) {
    const Napi::HandleScope scope(env);
    environment_.remove_pending(env);
    Napi::Value value;
    if (!failure_) {
      try {
        value = convert_(env, *result_);
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    try {
      // Once at most: resolving reads `then` of the value, and may fail with the deferred already freed where
      // the environment ends in there.
      if (failure_) {
        settlement_.reject(to_js_error(env, failure_).Value());
      } else {
        settlement_.resolve(value);
      }
    } catch (const Napi::Error&) {
      // JavaScript can't run any more: nobody is left to hear.
    }
    self_.Reset();
    kept_.Reset();
  }

  const LiveTask live_;
  Environment& environment_;
  Settlement settlement_;
  Napi::ObjectReference self_;
  Napi::ObjectReference kept_;
  Run run_;
  Convert convert_;
  std::optional<Result> result_;
  std::exception_ptr failure_;
};

}  // namespace albert_ner::binding
