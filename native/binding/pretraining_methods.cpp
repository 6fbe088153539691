// Session's methods that pretrain an encoder.

#include "binding/args.h"
#include "binding/requests.h"
#include "binding/session_methods.h"

namespace albert_ner::binding {
namespace {

/// New heads; the optimizer of those before would update tensors nobody uses.
void set_heads(SessionState& state, encoder::NamedTensors heads) {
  state.optimizer.reset();
  state.pretraining_heads.emplace(std::move(heads));
}

Napi::Value init_pretraining(const Call& call) {
  const uint64_t seed = static_cast<uint64_t>(to_integer(call.info[0], "seed"));
  return call.queue<Nothing>(
      [seed](SessionState& state) {
        set_heads(state,
                  training::random_pretraining_weights(encoder_of(state).config(), seed, state.device));
        return Nothing();
      },
      from_nothing);
}

Napi::Value load_pretraining(const Call& call) {
  const model::TensorFile file = to_tensor_file(call.info[0]);
  return call.queue<Nothing>(
      [file](SessionState& state) {
        encoder::NamedTensors heads =
            model::read_tensors(file, training::pretraining_shapes(encoder_of(state).config()));
        for (auto& entry : heads) entry.second = entry.second.to(state.device);
        set_heads(state, std::move(heads));
        return Nothing();
      },
      from_nothing);
}

Napi::Value from_scores(Napi::Env env, training::PretrainingScores& scores) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("maskedLoss", scores.masked_loss);
  result.Set("maskedCount", static_cast<double>(scores.masked_count));
  result.Set("maskedCorrect", static_cast<double>(scores.masked_correct));
  result.Set("orderLoss", scores.order_loss);
  result.Set("orderCount", static_cast<double>(scores.order_count));
  result.Set("orderCorrect", static_cast<double>(scores.order_correct));
  result.Set("gradientNorm", scores.gradient_norm);
  return result;
}

Napi::Value pretrain_step(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const Napi::Value list = request.Get("batches");
  if (!list.IsArray()) throw_invalid("batches", "an array", "something else");
  std::vector<training::PretrainingBatch> batches;
  for (uint32_t k = 0; k < list.As<Napi::Array>().Length(); ++k) {
    batches.push_back(to_pretraining_batch(list.As<Napi::Array>().Get(k)));
  }
  const double rate = to_double(request.Get("learningRate"), "learningRate");
  return call.queue<training::PretrainingScores>(
      [batches, rate](SessionState& state) {
        return training::pretrain_step(encoder_of(state), pretraining_heads_of(state), optimizer_of(state),
                                       batches, rate);
      },
      from_scores);
}

Napi::Value pretrain_scores(const Call& call) {
  const training::PretrainingBatch batch = to_pretraining_batch(call.info[0]);
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<training::PretrainingScores>(
      [batch](SessionState& state) {
        return training::pretrain_scores(encoder_of(state), pretraining_heads_of(state), batch);
      },
      from_scores, cancellation);
}

}  // namespace

void register_pretraining(Napi::Object session_prototype) {
  set_method(session_prototype, "initPretraining", async_method<init_pretraining>);
  set_method(session_prototype, "loadPretraining", async_method<load_pretraining>);
  set_method(session_prototype, "pretrainStep", async_method<pretrain_step>);
  set_method(session_prototype, "pretrainScores", async_method<pretrain_scores>);
}

}  // namespace albert_ner::binding
