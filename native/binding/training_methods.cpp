// Session's methods that train: a head on stored features, a whole tagger, an encoder.

#include "binding/args.h"
#include "binding/requests.h"
#include "binding/session_methods.h"
#include "engine/ngrams.h"
#include "torch/training/train_step.h"

namespace albert_ner::binding {
namespace {

/// The n-grams of a text that get a row in the head's table.
Napi::Value select_ngrams(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const encoder::PackedUnits units = to_batch(request);
  const int64_t count = to_integer(request.Get("count"), "count");
  const int64_t min_count = to_integer(request.Get("minCount"), "minCount");
  return call.queue<std::vector<int32_t>>(
      [=](SessionState&) { return engine::select_ngrams(units.ids, units.offsets, count, min_count); },
      [](Napi::Env env, std::vector<int32_t>& keys) -> Napi::Value {
        return to_typed_array<Napi::Int32Array>(env, keys.data(), keys.size());
      });
}

/// What an optimizer works on.
enum class TrainedPart { kHead, kTagger, kPretraining };

TrainedPart to_trained_part(const Napi::Value& value) {
  const std::string part = to_string(value, "part");
  if (part == "head") return TrainedPart::kHead;
  if (part == "tagger") return TrainedPart::kTagger;
  check_argument(part == "pretraining", "part", "head, tagger or pretraining", part);
  return TrainedPart::kPretraining;
}

training::NamedParameters parameters_of(SessionState& state, TrainedPart part, int64_t encoder_layers) {
  switch (part) {
    case TrainedPart::kHead:
      return head_of(state).parameters();
    case TrainedPart::kTagger:
      return training::tagger_parameters(encoder_of(state), head_of(state), encoder_layers);
    case TrainedPart::kPretraining:
      return training::pretraining_parameters(encoder_of(state), pretraining_heads_of(state));
  }
  throw_invalid("part", "a known part", "another");
}

Napi::Value init_optimizer(const Call& call) {
  const TrainedPart part = to_trained_part(call.info[0]);
  const training::OptimizerConfig config = to_optimizer_config(call.info[1]);
  const Napi::Value layers = call.info[1].As<Napi::Object>().Get("encoderLayers");
  const int64_t encoder_layers = layers.IsUndefined() ? 0 : to_integer(layers, "encoderLayers");
  return call.queue<Nothing>(
      [=](SessionState& state) {
        if (state.optimizer) state.optimizer->check_average_unused();
        state.optimizer.emplace(config, parameters_of(state, part, encoder_layers));
        return Nothing();
      },
      from_nothing);
}

template <void (training::Optimizer::*load)(const model::TensorFile&)>
Napi::Value restore(const Call& call) {
  const Napi::Value bytes = bytes_of(call.info[0]);
  const model::TensorFile file = to_tensor_file(call.info[0], bytes);
  return call.queue<Nothing>(
      [file](SessionState& state) {
        (optimizer_of(state).*load)(file);
        return Nothing();
      },
      from_nothing, {}, bytes);
}

Napi::Value average_weights(const Call& call) {
  return call.queue<Nothing>(
      [](SessionState& state) {
        optimizer_of(state).average();
        return Nothing();
      },
      from_nothing);
}

Napi::Value use_average(const Call& call) {
  const bool use = to_boolean(call.info[0], "use");
  return call.queue<Nothing>(
      [use](SessionState& state) {
        optimizer_of(state).use_average(use);
        return Nothing();
      },
      from_nothing);
}

Napi::Value from_step(Napi::Env env, training::StepResult& step) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("loss", step.loss);
  result.Set("gradientNorm", step.gradient_norm);
  return result;
}

Napi::Value train_step(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const auto shared = store_of(call, request.Get("features"), "features");
  const std::vector<int32_t> chosen = to_int32_vector(request.Get("sequences"), "sequences");
  const std::vector<int64_t> sequences(chosen.begin(), chosen.end());
  const training::Annotation annotation = to_annotation(request);
  const training::LearningRates rates = to_learning_rates(request.Get("learningRates"));
  const uint64_t seed = static_cast<uint64_t>(to_integer(request.Get("seed"), "seed"));
  return call.queue<training::StepResult>(
      [=](SessionState& state) {
        return training::train_step(head_of(state), optimizer_of(state), shared->store.gather(sequences),
                                    annotation, rates, seed);
      },
      from_step);
}

Napi::Value fine_tune_step(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const encoder::PackedUnits units = to_batch(request);
  const training::Annotation annotation = to_annotation(request);
  const training::LearningRates rates = to_learning_rates(request.Get("learningRates"));
  const double dropout = to_double(request.Get("encoderDropout"), "encoderDropout");
  check_argument(dropout >= 0 && dropout < 1, "encoderDropout", "a number in [0, 1)", dropout);
  const uint64_t seed = static_cast<uint64_t>(to_integer(request.Get("seed"), "seed"));
  return call.queue<training::StepResult>(
      [=](SessionState& state) {
        return training::fine_tune_step(encoder_of(state), head_of(state), optimizer_of(state), units,
                                        annotation, rates, dropout, seed);
      },
      from_step);
}

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
  const Napi::Value bytes = bytes_of(call.info[0]);
  const model::TensorFile file = to_tensor_file(call.info[0], bytes);
  return call.queue<Nothing>(
      [file](SessionState& state) {
        encoder::NamedTensors heads =
            model::read_tensors(file, training::pretraining_shapes(encoder_of(state).config()));
        for (auto& entry : heads) entry.second = entry.second.to(state.device);
        set_heads(state, std::move(heads));
        return Nothing();
      },
      from_nothing, {}, bytes);
}

/// Standard deviation of fitted n-grams: an occurrence in training moves a rare row by up to thirty learning
/// rates, which must be little beside what the text taught.
constexpr double kNgramDeviation = 0.3;

/// A part of the text for one of the fits.
struct FitRequest {
  training::PackedText text;
  double first_rate = 0;
  double last_rate = 0;
  uint64_t seed = 0;
  /// No part follows: what is kept for one can be freed.
  bool is_last = false;
};

FitRequest to_fit_request(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "request");
  encoder::PackedUnits units = to_batch(object);
  return {{std::move(units.ids), std::move(units.offsets)},
          to_double(object.Get("firstRate"), "firstRate"),
          to_double(object.Get("lastRate"), "lastRate"),
          static_cast<uint64_t>(to_integer(object.Get("seed"), "seed")),
          to_boolean(object.Get("isLast"), "isLast")};
}

/// Fits the encoder's word embeddings to one more part of the text.
Napi::Value fit_embeddings(const Call& call) {
  const FitRequest request = to_fit_request(call.info[0]);
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<Nothing>(
      [=](SessionState& state) {
        encoder::Albert& encoder = encoder_of(state);
        const encoder::AlbertConfig& config = encoder.config();
        if (!state.embedding_fit)
          state.embedding_fit.emplace(config.vocab_size, state.word_width, request.seed);
        state.embedding_fit->pass(request.text, request.first_rate, request.last_rate, cancellation);
        encoder.word_embeddings()
            .narrow(1, 0, state.word_width)
            .copy_(state.embedding_fit->table(config.initializer_range));
        if (request.is_last) state.embedding_fit.reset();
        return Nothing();
      },
      from_nothing, cancellation);
}

/// Fits the head's table of n-grams to one more part of the text.
Napi::Value fit_ngrams(const Call& call) {
  const FitRequest request = to_fit_request(call.info[0]);
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<Nothing>(
      [=](SessionState& state) {
        const model::HeadConfig& head = head_of(state).config();
        const at::Tensor table = head_of(state).ngram_table();
        if (!state.ngram_fit) {
          const int64_t units = encoder_of(state).config().vocab_size;
          state.ngram_fit.emplace(head.ngram_keys, units, head.ngram_width, request.seed);
        }
        state.ngram_fit->pass(request.text, request.first_rate, request.last_rate, cancellation);
        table.copy_(state.ngram_fit->table(kNgramDeviation));
        if (request.is_last) state.ngram_fit.reset();
        return Nothing();
      },
      from_nothing, cancellation);
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

void register_training(Napi::Object session_prototype) {
  set_method(session_prototype, "selectNgrams", async_method<select_ngrams>);
  set_method(session_prototype, "fitNgrams", async_method<fit_ngrams>);
  set_method(session_prototype, "initOptimizer", async_method<init_optimizer>);
  set_method(session_prototype, "loadOptimizer", async_method<restore<&training::Optimizer::load>>);
  set_method(session_prototype, "averageWeights", async_method<average_weights>);
  set_method(session_prototype, "useAverage", async_method<use_average>);
  set_method(session_prototype, "loadAverage", async_method<restore<&training::Optimizer::load_average>>);
  set_method(session_prototype, "trainStep", async_method<train_step>);
  set_method(session_prototype, "fineTuneStep", async_method<fine_tune_step>);
  set_method(session_prototype, "initPretraining", async_method<init_pretraining>);
  set_method(session_prototype, "loadPretraining", async_method<load_pretraining>);
  set_method(session_prototype, "fitEmbeddings", async_method<fit_embeddings>);
  set_method(session_prototype, "pretrainStep", async_method<pretrain_step>);
  set_method(session_prototype, "pretrainScores", async_method<pretrain_scores>);
}

}  // namespace albert_ner::binding
