#include "binding/environment.h"

#include <utility>

#include "common/error.h"

namespace albert_ner::binding {

Environment::Environment(Napi::Env env) {
  const Napi::Function next =
      Napi::Function::New(env, [this](const Napi::CallbackInfo& info) { run_next(info.Env()); });
  queue_ = Napi::ThreadSafeFunction::New(env, next, "albert-ner", 0, 1);
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

void Environment::on_js_thread(Body body) {
  {
    const std::lock_guard<std::mutex> lock(bodies_mutex_);
    bodies_.push_back(std::move(body));
  }
  queue_.BlockingCall();
}

void Environment::run_next(Napi::Env env) {
  Body body;
  {
    const std::lock_guard<std::mutex> lock(bodies_mutex_);
    if (bodies_.empty()) return;  // freed by tear_down
    body = std::move(bodies_.front());
    bodies_.pop_front();
  }
  body(env);
}

void Environment::add(Stoppable* session) {
  if (torn_down_)
    throw Error(ErrorCode::kDisposed, "The process or worker is ending: no session can be opened");
  sessions_.insert(session);
}

void Environment::tear_down() {
  torn_down_ = true;
  teardown_->cancel();
  std::set<Stoppable*> sessions;
  sessions.swap(sessions_);  // A stopped one may be collected before the next tear-down.
  for (Stoppable* session : sessions) session->stop();
  // No thread is left that adds to them.
  std::deque<Body> bodies;
  {
    const std::lock_guard<std::mutex> lock(bodies_mutex_);
    bodies.swap(bodies_);
  }
}

}  // namespace albert_ner::binding
