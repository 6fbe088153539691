// One asynchronous call: run on a session's thread, converted and settled on the JavaScript thread.
//
// Life: the task holds a reference to the JavaScript object it was called on until it settles, so neither
// session nor model can be collected under it. It settles exactly once: with its result, its error, or
// ERR_DISPOSED when dropped.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "binding/environment.h"
#include "binding/errors.h"
#include "common/error.h"
#include "runtime/executor.h"

namespace albert_ner::binding {

template <typename Result>
class PromiseTask {
 public:
  using Run = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  /// Queues the call and returns its promise.
  static Napi::Value start(runtime::Executor& executor, Napi::Object self, Run run, Convert convert) {
    const Napi::Env env = self.Env();
    auto task = std::make_shared<PromiseTask>(env, self, std::move(run), std::move(convert));
    task->environment_.add_pending(env);
    const Napi::Value promise = task->deferred_->Promise();
    executor.submit([task](bool running) {
      task->work(running);
      Environment& environment = task->environment_;
      environment.on_js_thread([task](Napi::Env js) { task->settle(js); });
    });
    return promise;
  }

  PromiseTask(Napi::Env env, Napi::Object self, Run run, Convert convert)
      : environment_(Environment::of(env)),
        deferred_(std::make_unique<Napi::Promise::Deferred>(env)),
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
    try {
      if (failure_) std::rethrow_exception(failure_);
      deferred_->Resolve(convert_(env, *result_));
    } catch (...) {
      deferred_->Reject(to_js_error(env, std::current_exception()).Value());
    }
    self_.Reset();
  }

  Environment& environment_;
  std::unique_ptr<Napi::Promise::Deferred> deferred_;
  Napi::ObjectReference self_;
  Run run_;
  Convert convert_;
  std::optional<Result> result_;
  std::exception_ptr failure_;
};

}  // namespace albert_ner::binding
