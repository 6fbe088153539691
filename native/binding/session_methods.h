// How a method of Session is made: reading its call, queueing its work, settling its promise.
#pragma once

#include <ATen/core/grad_mode.h>
#include <napi.h>

#include <string>
#include <utility>
#include <variant>

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/promise_task.h"
#include "binding/session.h"
#include "binding/wrapped.h"
#include "common/check.h"

namespace albert_ner::binding {

using Nothing = std::monostate;

inline Napi::Value from_nothing(Napi::Env env, Nothing&) {
  return env.Undefined();
}

/// Everything a method body needs of its call.
struct Call {
  const Napi::CallbackInfo& info;
  Napi::Object self;
  SessionHandle& session;

  /// The cancel token at argument `index`, if any, with the environment's own.
  runtime::Cancellation cancellation(size_t index) const {
    runtime::Cancellation cancellation{nullptr, session.environment.teardown()};
    if (!info[index].IsUndefined())
      cancellation.caller = unwrap<CancelTokenHandle>(info[index], "cancel").token;
    return cancellation;
  }

  /// Queues `run(state)` on the session's thread; a queued call whose token was cancelled never runs. `kept`
  /// stays alive meanwhile.
  template <typename Result, typename Run>
  Napi::Value queue(Run run, typename PromiseTask<Result>::Convert convert,
                    runtime::Cancellation cancelled = {}, Napi::Value kept = {}) const {
    auto guarded = [state = session.state, run = std::move(run), cancelled]() -> Result {
      cancelled.poll();
      const at::NoGradGuard no_grad;
      return run(*state);
    };
    return PromiseTask<Result>::start(*session.executor, self, guarded, std::move(convert),
                                      kept.IsEmpty() ? info.Env().Undefined() : kept);
  }
};

/// An asynchronous method: whatever goes wrong, the promise rejects and nothing is thrown.
template <Napi::Value (*body)(const Call&)>
Napi::Value async_method(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    SessionHandle& session = unwrap<SessionHandle>(info.This(), "this");
    if (session.disposed) throw Error(ErrorCode::kDisposed, "The session was disposed of");
    return body({info, info.This().As<Napi::Object>(), session});
  } catch (...) {
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_js_error(env, std::current_exception()).Value());
    return deferred.Promise();
  }
}

/// What a call that reads a file in memory keeps alive.
inline Napi::Value bytes_of(const Napi::Value& file) {
  return to_object(file, "file").Get("bytes");
}

template <typename T>
T& loaded(std::optional<T>& part, const char* name, const char* makers) {
  if (!part)
    throw_invalid("session", std::string(makers) + " before this call",
                  std::string("none (no ") + name + ")");
  return *part;
}

inline encoder::Albert& encoder_of(SessionState& state) {
  return loaded(state.encoder, "encoder", "loadEncoder or initEncoder");
}
inline model::Head& head_of(SessionState& state) {
  return loaded(state.head, "head", "loadHead or initHead");
}
inline training::Optimizer& optimizer_of(SessionState& state) {
  return loaded(state.optimizer, "optimizer", "initOptimizer");
}

inline const encoder::NamedTensors& pretraining_heads_of(SessionState& state) {
  return loaded(state.pretraining_heads, "pretraining heads", "initPretraining or loadPretraining");
}

/// The feature store `value`, which this very session made.
inline std::shared_ptr<SharedFeatureStore> store_of(const Call& call, const Napi::Value& value,
                                                    const std::string& name) {
  const auto& shared = unwrap<FeatureStoreHandle>(value, name).shared;
  if (shared == nullptr || shared->owner.lock() != call.session.state)
    throw_invalid(name, "a feature store of this session", shared ? "another session's" : "an empty one");
  return shared;
}

using Method = Napi::Value (*)(const Napi::CallbackInfo&);

inline void set_method(Napi::Object prototype, const char* name, Method method) {
  prototype.DefineProperty(Napi::PropertyDescriptor::Value(
      name, Napi::Function::New(prototype.Env(), method, name), napi_default_method));
}

/// The methods of lib/native/binding.ts that train.
void register_training(Napi::Object session_prototype);

}  // namespace albert_ner::binding
