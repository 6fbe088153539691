#include "binding/session.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "binding/args.h"
#include "binding/requests.h"
#include "binding/session_methods.h"
#include "core/parallel.h"
#include "torch/encoder/neighbour_heads.h"
#include "torch/support/device.h"

namespace albert_ner::binding {
namespace {

/// A new head; the optimizer of the one before would update tensors nobody uses.
void set_head(SessionState& state, model::Head head) {
  state.optimizer.reset();
  state.ngram_fit.reset();
  state.head.emplace(std::move(head));
}

/// A new encoder, whose first `word_width` embedding columns are the words'; whatever was trained or fitted
/// together with the one before ends, but not the head.
void set_encoder(SessionState& state, encoder::Albert encoder, int64_t word_width) {
  state.optimizer.reset();
  state.embedding_fit.reset();
  state.ngram_fit.reset();
  state.pretraining_heads.reset();
  state.word_width = word_width;
  state.encoder.emplace(std::move(encoder));
}

/// Windows of `units` with their features, on the encoder's device.
features::PackedFeatures encode_windows(SessionState& state, const encoder::PackedUnits& units,
                                        const std::vector<int64_t>& windows) {
  features::PackedFeatures pack;
  pack.rows = encoder_of(state).encode(units, windows);
  std::vector<int32_t> offsets = {0};
  for (int64_t window : windows) {
    const auto begin = units.ids.begin() + units.offsets[window];
    const auto end = units.ids.begin() + units.offsets[window + 1];
    pack.ids.insert(pack.ids.end(), begin, end);
    offsets.push_back(static_cast<int32_t>(pack.ids.size()));
  }
  pack.offsets = at::tensor(offsets, at::kInt);
  return pack;
}

Napi::Value init_encoder(const Call& call) {
  const encoder::AlbertConfig config = to_encoder_config(call.info[0]);
  const uint64_t seed = static_cast<uint64_t>(to_integer(call.info[1], "seed"));
  const std::string start = call.info[2].IsUndefined() ? "random" : to_string(call.info[2], "attentionStart");
  check_argument(start == "random" || start == "neighbours", "attentionStart", "random or neighbours", start);
  return call.queue<Nothing>(
      [config, seed, start](SessionState& state) {
        encoder::Albert encoder = encoder::Albert::random(config, seed, state.device);
        const bool neighbours = start == "neighbours";
        const int64_t word_width =
            neighbours ? encoder::attend_to_neighbours(encoder) : config.embedding_size;
        set_encoder(state, std::move(encoder), word_width);
        return Nothing();
      },
      from_nothing);
}

Napi::Value load_encoder(const Call& call) {
  const encoder::AlbertConfig config = to_encoder_config(call.info[0]);
  const Napi::Value bytes = bytes_of(call.info[1]);
  const model::TensorFile file = to_tensor_file(call.info[1], bytes);
  return call.queue<Nothing>(
      [config, file](SessionState& state) {
        encoder::NamedTensors weights = model::read_tensors(file, encoder::weight_shapes(config));
        for (auto& entry : weights) entry.second = entry.second.to(state.device);
        set_encoder(state, encoder::Albert(config, std::move(weights)), config.embedding_size);
        return Nothing();
      },
      from_nothing, {}, bytes);
}

Napi::Value init_head(const Call& call) {
  const model::HeadConfig config = to_head_config(call.info[0]);
  const uint64_t seed = static_cast<uint64_t>(to_integer(call.info[1], "seed"));
  return call.queue<Nothing>(
      [config, seed](SessionState& state) {
        set_head(state, model::Head(config, seed, model::head_device(state.device)));
        return Nothing();
      },
      from_nothing);
}

Napi::Value load_head(const Call& call) {
  const model::HeadConfig config = to_head_config(call.info[0]);
  const Napi::Value bytes = bytes_of(call.info[1]);
  const model::TensorFile file = to_tensor_file(call.info[1], bytes);
  return call.queue<Nothing>(
      [config, file](SessionState& state) {
        set_head(state, model::Head(config, file, model::head_device(state.device)));
        return Nothing();
      },
      from_nothing, {}, bytes);
}

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;
using TensorsOf = Tensors (*)(SessionState&);

/// What exportTensors knows by name.
const std::map<std::string, TensorsOf> kParts = {
    {"encoder", [](SessionState& state) -> Tensors { return encoder_of(state).weights(); }},
    {"head", [](SessionState& state) -> Tensors { return head_of(state).parameters(); }},
    {"pretraining", [](SessionState& state) -> Tensors { return pretraining_heads_of(state); }},
    {"optimizer", [](SessionState& state) -> Tensors { return optimizer_of(state).state(); }},
    {"average", [](SessionState& state) -> Tensors { return optimizer_of(state).average_state(); }},
};

Napi::Value export_tensors(const Call& call) {
  const std::string part = to_string(call.info[0], "part");
  const auto found = kParts.find(part);
  check_argument(found != kParts.end(), "part", "encoder, head, pretraining, optimizer or average", part);
  const TensorsOf tensors_of = found->second;
  return call.queue<Tensors>(
      [tensors_of](SessionState& state) {
        Tensors tensors = tensors_of(state);
        // Copies: the thread goes on changing the originals before JavaScript has read them.
        for (auto& entry : tensors) entry.second = entry.second.detach().cpu().clone().contiguous();
        return tensors;
      },
      [](Napi::Env env, Tensors& tensors) { return from_tensors(env, tensors); });
}

Napi::Value encode(const Call& call) {
  const encoder::PackedUnits units = to_batch(to_object(call.info[0], "batch"));
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<at::Tensor>(
      [units, cancellation](SessionState& state) {
        const std::vector<int64_t> lengths = lengths_of(units.offsets);
        const int64_t F = encoder_of(state).config().feature_size();
        at::Tensor rows = at::empty({static_cast<int64_t>(units.ids.size()), F}, at::kFloat);  // [N, F]
        model::for_each_batch(lengths, cancellation, [&](const std::vector<int64_t>& windows) {
          const at::Tensor encoded = encode_windows(state, units, windows).rows.cpu();
          int64_t row = 0;
          for (int64_t window : windows) {
            rows.narrow(0, units.offsets[window], lengths[window])
                .copy_(encoded.narrow(0, row, lengths[window]));
            row += lengths[window];
          }
        });
        return rows;
      },
      [](Napi::Env env, at::Tensor& rows) -> Napi::Value {
        return to_typed_array<Napi::Float32Array>(env, rows.const_data_ptr<float>(),
                                                  static_cast<size_t>(rows.numel()));
      },
      cancellation);
}

Napi::Value create_feature_store(const Call& call) {
  using Shared = std::shared_ptr<SharedFeatureStore>;
  const std::string path = to_string(call.info[0], "path");
  return call.queue<Shared>(
      [path, session = call.session.state](SessionState&) {
        return std::make_shared<SharedFeatureStore>(path, session);
      },
      [](Napi::Env env, Shared& shared) -> Napi::Value {
        Napi::Object object = Environment::of(env).feature_store_constructor.New({});
        auto handle = std::make_unique<FeatureStoreHandle>();
        handle->shared = shared;
        wrap(object, std::move(handle));
        return object;
      });
}

Napi::Value append_features(const Call& call) {
  const auto shared = store_of(call, call.info[0], "store");
  const encoder::PackedUnits units = to_batch(to_object(call.info[1], "batch"));
  const runtime::Cancellation cancellation = call.cancellation(2);
  return call.queue<Nothing>(
      [shared, units, cancellation](SessionState& state) {
        const std::vector<int64_t> lengths = lengths_of(units.offsets);
        std::vector<int64_t> all(lengths.size());
        for (size_t b = 0; b < all.size(); ++b) all[b] = static_cast<int64_t>(b);
        // One pass for the whole batch keeps the store all or nothing; callers choose its size.
        shared->append(encode_windows(state, units, all));
        return Nothing();
      },
      from_nothing, cancellation);
}

Napi::Value close_feature_store(const Call& call) {
  const auto shared = store_of(call, call.info[0], "store");
  return call.queue<Nothing>(
      [shared](SessionState&) {
        shared->store.close();
        return Nothing();
      },
      from_nothing);
}

std::vector<int64_t> widened(const std::vector<int32_t>& values) {
  return {values.begin(), values.end()};
}

Napi::Value tag(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const encoder::PackedUnits units = to_batch(request);
  const model::WindowPlan plan = to_window_plan(request, lengths_of(units.offsets));
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<model::Tagging>(
      [units, plan, cancellation](SessionState& state) {
        const model::Head& head = head_of(state);
        auto features = [&](const std::vector<int64_t>& windows) {
          return encode_windows(state, units, windows);
        };
        return model::tag_windows(head, plan, features, cancellation);
      },
      from_tagging, cancellation);
}

Napi::Value tag_features(const Call& call) {
  const Napi::Object request = to_object(call.info[0], "request");
  const auto shared = store_of(call, request.Get("features"), "features");
  const std::vector<int64_t> sequences = widened(to_int32_vector(request.Get("sequences"), "sequences"));
  // Lengths are known on the session's thread only; the plan is completed there.
  const model::WindowPlan unsized = to_window_plan(request, {});
  const runtime::Cancellation cancellation = call.cancellation(1);
  return call.queue<model::Tagging>(
      [shared, sequences, unsized, cancellation](SessionState& state) {
        model::WindowPlan plan = unsized;
        for (int64_t sequence : sequences) {
          check_argument(sequence >= 0 && sequence < shared->store.sequence_count(), "sequences",
                         "sequences of the store", sequence);
          plan.lengths.push_back(shared->store.length(sequence));
        }
        auto features = [&](const std::vector<int64_t>& windows) {
          std::vector<int64_t> chosen;
          for (int64_t window : windows) chosen.push_back(sequences[static_cast<size_t>(window)]);
          return shared->store.gather(chosen);
        };
        return model::tag_windows(head_of(state), plan, features, cancellation);
      },
      from_tagging, cancellation);
}

/// Test-only: how many threads take part in a parallel loop of ours, and how many libtorch would take.
Napi::Value thread_counts(const Call& call) {
  using Counts = std::pair<int64_t, int64_t>;
  return call.queue<Counts>(
      [](SessionState&) {
        std::mutex mutex;
        std::set<std::thread::id> team;
        core::for_each_member(core::thread_count(), [&](int64_t) {
          const std::lock_guard<std::mutex> lock(mutex);
          team.insert(std::this_thread::get_id());
        });
        return Counts(static_cast<int64_t>(team.size()), at::get_num_threads());
      },
      [](Napi::Env env, Counts& counts) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("ours", static_cast<double>(counts.first));
        result.Set("libtorch", static_cast<double>(counts.second));
        return result;
      });
}

/// Resolves when the thread has freed everything. Not an async_method: it works on a disposed session, too.
Napi::Value dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  try {
    SessionHandle& session = unwrap<SessionHandle>(info.This(), "this");
    if (session.disposed) {
      deferred.Resolve(env.Undefined());
      return deferred.Promise();
    }
    session.disposed = true;
    Environment& environment = session.environment;
    environment.add_pending(env);
    auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
    self->SuppressDestruct();
    session.executor->request_stop([state = session.state, deferred, self, &environment]() {
      const at::Device device = state->device;
      *state = SessionState{};
      state->device = device;
      environment.on_js_thread([deferred, self, &environment](Napi::Env js) {
        const Napi::HandleScope scope(js);
        environment.remove_pending(js);
        deferred.Resolve(js.Undefined());
        self->Reset();
      });
    });
  } catch (...) {
    deferred.Reject(to_js_error(env, std::current_exception()).Value());
  }
  return deferred.Promise();
}

/// A synchronous function with our errors.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value sync_method(const Napi::CallbackInfo& info) {
  try {
    return body(info);
  } catch (...) {
    throw to_js_error(info.Env(), std::current_exception());
  }
}

Napi::Value construct_session(const Napi::CallbackInfo& info) {
  const Napi::Object options = to_object(info[0], "options");
  const std::string device = to_string(options.Get("device"), "device");
  const int64_t threads = to_integer(options.Get("threads"), "threads");
  check_argument(threads <= 1024, "threads", "at most 1024", threads);
  const Napi::Object self = info.This().As<Napi::Object>();
  const at::Device chosen = parse_device(device);
  auto handle =
      std::make_unique<SessionHandle>(Environment::of(info.Env()), chosen, static_cast<int>(threads));
  self.DefineProperty(Napi::PropertyDescriptor::Value("device", Napi::String::New(info.Env(), chosen.str()),
                                                      napi_enumerable));
  self.DefineProperty(Napi::PropertyDescriptor::Value(
      "threads", Napi::Number::New(info.Env(), handle->executor->threads()), napi_enumerable));
  wrap(self, std::move(handle));
  return self;
}

Napi::Value construct_cancel_token(const Napi::CallbackInfo& info) {
  const int64_t hold_at = info[0].IsUndefined() ? 0 : to_integer(info[0], "holdAt");
  wrap(info.This().As<Napi::Object>(), std::make_unique<CancelTokenHandle>(hold_at));
  return info.This();
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
  unwrap<CancelTokenHandle>(info.This(), "this").token->cancel();
  return info.Env().Undefined();
}

Napi::Value release(const Napi::CallbackInfo& info) {
  unwrap<CancelTokenHandle>(info.This(), "this").token->release();
  return info.Env().Undefined();
}

Napi::Value polls(const Napi::CallbackInfo& info) {
  const int64_t count = unwrap<CancelTokenHandle>(info.This(), "this").token->polls();
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

Napi::Value construct_feature_store(const Napi::CallbackInfo& info) {
  return info.This();
}

template <std::atomic<int64_t> SharedFeatureStore::* count>
Napi::Value feature_store_count(const Napi::CallbackInfo& info) {
  const auto& shared = unwrap<FeatureStoreHandle>(info.This(), "this").shared;
  return Napi::Number::New(info.Env(), static_cast<double>(((*shared).*count).load()));
}

/// A class whose instances are wrapped by `constructor`, with plain functions as methods.
Napi::Function define_class(Napi::Env env, const char* name, napi_callback constructor) {
  napi_value result = nullptr;
  napi_define_class(env, name, NAPI_AUTO_LENGTH, constructor, nullptr, 0, nullptr, &result);
  return Napi::Function(env, result);
}

template <Method body>
napi_value raw_constructor(napi_env env, napi_callback_info raw) {
  try {
    return sync_method<body>(Napi::CallbackInfo(env, raw));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}

}  // namespace

SessionHandle::SessionHandle(Environment& owner, at::Device device, int threads)
    : environment(owner), executor(std::make_unique<runtime::Executor>(threads)) {
  state->device = device;
  environment.add(this);
}

SessionHandle::~SessionHandle() {
  // Once stopped the environment may be gone.
  if (!stopped) environment.remove(this);
}

void SessionHandle::stop() {
  stopped = true;
  executor->stop();
}

void register_session(Napi::Env env, Napi::Object exports) {
  const Napi::Function session = define_class(env, "Session", raw_constructor<construct_session>);
  const Napi::Object prototype = session.Get("prototype").As<Napi::Object>();
  set_method(prototype, "initEncoder", async_method<init_encoder>);
  set_method(prototype, "loadEncoder", async_method<load_encoder>);
  set_method(prototype, "initHead", async_method<init_head>);
  set_method(prototype, "loadHead", async_method<load_head>);
  set_method(prototype, "exportTensors", async_method<export_tensors>);
  set_method(prototype, "encode", async_method<encode>);
  set_method(prototype, "createFeatureStore", async_method<create_feature_store>);
  set_method(prototype, "appendFeatures", async_method<append_features>);
  set_method(prototype, "closeFeatureStore", async_method<close_feature_store>);
  set_method(prototype, "tag", async_method<tag>);
  set_method(prototype, "tagFeatures", async_method<tag_features>);
  set_method(prototype, "dispose", dispose);
  set_method(prototype, "_threadCounts", async_method<thread_counts>);
  register_training(prototype);
  exports.Set("Session", session);

  const Napi::Function token = define_class(env, "CancelToken", raw_constructor<construct_cancel_token>);
  const Napi::Object token_prototype = token.Get("prototype").As<Napi::Object>();
  set_method(token_prototype, "cancel", sync_method<cancel>);
  set_method(token_prototype, "_release", sync_method<release>);
  set_method(token_prototype, "_polls", sync_method<polls>);
  exports.Set("CancelToken", token);

  const Napi::Function store = define_class(env, "FeatureStore", raw_constructor<construct_feature_store>);
  const Napi::Object store_prototype = store.Get("prototype").As<Napi::Object>();
  auto set_getter = [&](const char* name, Method getter) {
    store_prototype.DefineProperty(Napi::PropertyDescriptor::Accessor(env, store_prototype, name, getter));
  };
  set_getter("sequenceCount", sync_method<feature_store_count<&SharedFeatureStore::sequence_count>>);
  set_getter("rowCount", sync_method<feature_store_count<&SharedFeatureStore::row_count>>);
  Environment::of(env).feature_store_constructor = Napi::Persistent(store);
}

}  // namespace albert_ner::binding
