#include "binding/environment.h"

namespace albert_ner::binding {

Environment::Environment(Napi::Env env) {
  const Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  queue_ = Napi::ThreadSafeFunction::New(env, nothing, "albert-ner", 0, 1);
  queue_.Unref(env);
  // Hooks run last in, first out: this one comes before the queue's own, so threads end while the queue still
  // is.
  env.AddCleanupHook([](Environment* self) { self->tear_down(); }, this);
}

Environment& Environment::of(Napi::Env env) {
  return *env.GetInstanceData<Environment>();
}

void Environment::add_pending(Napi::Env env) {
  if (pending_++ == 0) queue_.Ref(env);
}

void Environment::remove_pending(Napi::Env env) {
  if (--pending_ == 0) queue_.Unref(env);
}

void Environment::on_js_thread(std::function<void(Napi::Env)> body) {
  queue_.BlockingCall([body = std::move(body)](Napi::Env env, Napi::Function) { body(env); });
}

void Environment::tear_down() {
  teardown_->cancel();
  const std::set<Stoppable*> sessions = sessions_;
  for (Stoppable* session : sessions) session->stop();
}

}  // namespace albert_ner::binding
