#include "binding/requests.h"

#include <algorithm>
#include <map>

#include "binding/args.h"
#include "common/check.h"

namespace albert_ner::binding {
namespace {

template <typename T>
T to_choice(const Napi::Object& object, const char* key, const std::map<std::string, T>& choices) {
  const std::string text = to_string(object.Get(key), key);
  const auto found = choices.find(text);
  if (found != choices.end()) return found->second;
  std::string expected;
  for (const auto& choice : choices) expected += (expected.empty() ? "" : " or ") + choice.first;
  throw_invalid(key, expected, "\"" + text + "\"");
}

int64_t positive(const Napi::Object& object, const char* key) {
  const int64_t number = to_integer(object.Get(key), key);
  check_argument(number >= 1 && number <= INT32_MAX, key, "an integer in [1, 2^31)", number);
  return number;
}

double probability(const Napi::Object& object, const char* key) {
  const double number = to_double(object.Get(key), key);
  check_argument(number >= 0 && number < 1, key, "a number in [0, 1)", number);
  return number;
}

void check_size(size_t size, size_t expected, const char* name) {
  check_argument(size == expected, name, std::to_string(expected) + " values", size);
}

}  // namespace

encoder::AlbertConfig to_encoder_config(const Napi::Value& value) {
  using encoder::Activation;
  using encoder::LayerNormPlacement;
  using encoder::Layout;
  const Napi::Object object = to_object(value, "config");
  encoder::AlbertConfig config;
  config.layout =
      to_choice<Layout>(object, "layout", {{"google", Layout::kGoogle}, {"bright", Layout::kBright}});
  config.vocab_size = positive(object, "vocabSize");
  config.embedding_size = positive(object, "embeddingSize");
  config.hidden_size = positive(object, "hiddenSize");
  config.layer_count = positive(object, "layerCount");
  // Unlike every other size it is none of a tensor's, so no file bounds it where layers share weights.
  check_argument(config.layer_count <= 1024, "layerCount", "at most 1024", config.layer_count);
  config.group_count = positive(object, "groupCount");
  config.head_count = positive(object, "headCount");
  config.intermediate_size = positive(object, "intermediateSize");
  config.activation = to_choice<Activation>(object, "activation",
                                            {{"gelu_erf", Activation::kGeluErf},
                                             {"gelu_tanh", Activation::kGeluTanh},
                                             {"relu", Activation::kRelu},
                                             {"silu", Activation::kSilu}});
  config.layer_norm_placement = to_choice<LayerNormPlacement>(
      object, "layerNormPlacement", {{"post", LayerNormPlacement::kPost}, {"pre", LayerNormPlacement::kPre}});
  config.layer_norm_eps = to_double(object.Get("layerNormEps"), "layerNormEps");
  config.initializer_range = to_double(object.Get("initializerRange"), "initializerRange");
  config.max_position = positive(object, "maxPosition");
  config.type_vocab_size = positive(object, "typeVocabSize");
  config.precision = to_choice<encoder::Precision>(
      object, "precision",
      {{"float32", encoder::Precision::kFloat32}, {"bfloat16", encoder::Precision::kBFloat16}});
  config.cls_id = to_integer(object.Get("clsId"), "clsId");
  config.sep_id = to_integer(object.Get("sepId"), "sepId");
  check_argument(config.hidden_size % config.head_count == 0, "headCount", "a divisor of hiddenSize",
                 config.head_count);
  check_argument(config.group_count <= config.layer_count, "groupCount", "at most layerCount",
                 config.group_count);
  check_argument(config.max_position >= 3, "maxPosition", "at least 3", config.max_position);
  for (int32_t layer : to_int32_vector(object.Get("featureLayers"), "featureLayers")) {
    check_argument(layer >= 0 && layer <= config.layer_count, "featureLayers", "layers of the encoder",
                   layer);
    config.feature_layers.push_back(layer);
  }
  check_argument(!config.feature_layers.empty(), "featureLayers", "at least one layer", 0);
  for (const auto& [name, id] : {std::pair{"clsId", config.cls_id}, std::pair{"sepId", config.sep_id}}) {
    check_argument(id < config.vocab_size, name, "an id in the vocabulary", id);
  }
  return config;
}

model::HeadConfig to_head_config(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "config");
  model::HeadConfig config;
  config.feature_size = positive(object, "featureSize");
  config.mixed_layers = positive(object, "mixedLayers");
  config.hidden_size = positive(object, "hiddenSize");
  config.tag_count = positive(object, "tagCount");
  config.ngram_width = to_integer(object.Get("ngramWidth"), "ngramWidth");
  check_argument(config.ngram_width <= 4096, "ngramWidth", "at most 4096", config.ngram_width);
  config.ngram_keys = to_int32_vector(object.Get("ngramKeys"), "ngramKeys");
  const bool ascending = std::is_sorted(config.ngram_keys.begin(), config.ngram_keys.end());
  check_argument(ascending, "ngramKeys", "ascending keys", config.ngram_keys.size());
  config.dropout = probability(object, "dropout");
  config.ngram_dropout = probability(object, "ngramDropout");
  const size_t K = static_cast<size_t>(config.tag_count);
  for (int32_t role : to_int32_vector(object.Get("tagRoles"), "tagRoles")) {
    check_argument(role >= 0 && role <= 4, "tagRoles", "roles 0 to 4", role);
    config.tag_roles.push_back(static_cast<model::TagRole>(role));
  }
  config.tag_labels = to_int32_vector(object.Get("tagLabels"), "tagLabels");
  config.allowed_transitions = to_uint8_vector(object.Get("allowedTransitions"), "allowedTransitions");
  config.allowed_starts = to_uint8_vector(object.Get("allowedStarts"), "allowedStarts");
  config.allowed_ends = to_uint8_vector(object.Get("allowedEnds"), "allowedEnds");
  check_size(config.tag_roles.size(), K, "tagRoles");
  check_size(config.tag_labels.size(), K, "tagLabels");
  check_size(config.allowed_transitions.size(), K * K, "allowedTransitions");
  check_size(config.allowed_starts.size(), K, "allowedStarts");
  check_size(config.allowed_ends.size(), K, "allowedEnds");
  return config;
}

model::TensorFile to_tensor_file(const Napi::Value& value, const Napi::Value& shared) {
  const Napi::Object object = to_object(value, "file");
  model::TensorFile file;
  file.path = to_string(object.Get("path"), "path");
  const Bytes bytes = to_shared_bytes(shared, "bytes");
  file.bytes = bytes.data;
  file.size = bytes.size;
  const Napi::Value list = object.Get("tensors");
  if (!list.IsArray()) throw_invalid("tensors", "an array", "something else");
  const Napi::Array tensors = list.As<Napi::Array>();
  for (uint32_t k = 0; k < tensors.Length(); ++k) {
    const Napi::Object tensor = to_object(tensors.Get(k), "tensors");
    model::TensorEntry entry;
    entry.name = to_string(tensor.Get("name"), "name");
    entry.dtype = to_string(tensor.Get("dtype"), "dtype");
    const Napi::Value shape = tensor.Get("shape");
    if (!shape.IsArray()) throw_invalid("shape", "an array", "something else");
    for (uint32_t dim = 0; dim < shape.As<Napi::Array>().Length(); ++dim) {
      entry.shape.push_back(to_integer(shape.As<Napi::Array>().Get(dim), "shape"));
    }
    entry.begin = static_cast<uint64_t>(to_integer(tensor.Get("begin"), "begin"));
    entry.end = static_cast<uint64_t>(to_integer(tensor.Get("end"), "end"));
    file.entries.push_back(std::move(entry));
  }
  return file;
}

training::OptimizerConfig to_optimizer_config(const Napi::Value& value) {
  using training::OptimizerKind;
  const Napi::Object object = to_object(value, "config");
  training::OptimizerConfig config;
  config.kind = to_choice<OptimizerKind>(
      object, "kind",
      {{"adam", OptimizerKind::kAdam}, {"adamw", OptimizerKind::kAdamW}, {"lamb", OptimizerKind::kLamb}});
  config.beta1 = to_double(object.Get("beta1"), "beta1");
  config.beta2 = to_double(object.Get("beta2"), "beta2");
  config.epsilon = to_double(object.Get("epsilon"), "epsilon");
  config.weight_decay = to_double(object.Get("weightDecay"), "weightDecay");
  config.clip_norm = to_double(object.Get("clipNorm"), "clipNorm");
  return config;
}

training::LearningRates to_learning_rates(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "learningRates");
  return {to_double(object.Get("encoder"), "encoder"), to_double(object.Get("bilstm"), "bilstm"),
          to_double(object.Get("ngrams"), "ngrams"), to_double(object.Get("classifier"), "classifier"),
          to_double(object.Get("crf"), "crf")};
}

training::Annotation to_annotation(const Napi::Object& value) {
  training::Annotation annotation;
  annotation.tags = to_int32_vector(value.Get("tags"), "tags");
  const Napi::Value open = value.Get("openTags");
  if (!open.IsUndefined()) annotation.open = to_uint8_vector(open, "openTags");
  return annotation;
}

training::PretrainingBatch to_pretraining_batch(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "batch");
  auto wide = [&](const char* key) {
    const std::vector<int32_t> values = to_int32_vector(object.Get(key), key);
    return std::vector<int64_t>(values.begin(), values.end());
  };
  training::PretrainingBatch batch;
  batch.tokens = {wide("ids"), wide("types"), wide("lengths")};
  batch.masked_rows = wide("maskedRows");
  batch.masked_ids = wide("maskedIds");
  batch.order_labels = wide("orderLabels");
  return batch;
}

encoder::PackedUnits to_batch(const Napi::Object& value) {
  encoder::PackedUnits units;
  units.ids = to_int32_vector(value.Get("ids"), "ids");
  units.offsets = to_offsets(value.Get("offsets"), "offsets", units.ids.size());
  return units;
}

std::vector<int64_t> lengths_of(const std::vector<int32_t>& offsets) {
  std::vector<int64_t> lengths;
  for (size_t b = 1; b < offsets.size(); ++b) lengths.push_back(offsets[b] - offsets[b - 1]);
  return lengths;
}

model::WindowPlan to_window_plan(const Napi::Object& value, std::vector<int64_t> lengths) {
  model::WindowPlan plan;
  plan.lengths = std::move(lengths);
  plan.keep = to_optional_int32_vector(value.Get("keep"), "keep");
  const std::vector<int32_t> ends = to_optional_int32_vector(value.Get("sequenceOffsets"), "sequenceOffsets");
  if (!ends.empty()) {
    plan.sequence_offsets = to_offsets(value.Get("sequenceOffsets"), "sequenceOffsets",
                                       static_cast<size_t>(std::max(ends.back(), 0)));
  }
  return plan;
}

Napi::Value from_tagging(Napi::Env env, const model::Tagging& tagging) {
  Napi::Object result = Napi::Object::New(env);
  auto int32 = [&](const std::vector<int32_t>& values) {
    return to_typed_array<Napi::Int32Array>(env, values.data(), values.size());
  };
  auto float64 = [&](const std::vector<double>& values) {
    return to_typed_array<Napi::Float64Array>(env, values.data(), values.size());
  };
  result.Set("tags", int32(tagging.tags));
  result.Set("spans", int32(tagging.spans));
  result.Set("spanScores", float64(tagging.span_scores));
  result.Set("pathLogProbabilities", float64(tagging.path_log_probabilities));
  return result;
}

Napi::Value from_tensors(Napi::Env env, const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  Napi::Array array = Napi::Array::New(env);
  uint32_t index = 0;
  for (const auto& [name, tensor] : tensors) {
    Napi::Object object = Napi::Object::New(env);
    Napi::Array shape = Napi::Array::New(env);
    for (int64_t dim = 0; dim < tensor.dim(); ++dim) shape.Set(static_cast<uint32_t>(dim), tensor.size(dim));
    object.Set("name", name);
    object.Set("shape", shape);
    object.Set("data", to_typed_array<Napi::Float32Array>(env, tensor.const_data_ptr<float>(),
                                                          static_cast<size_t>(tensor.numel())));
    array.Set(index++, object);
  }
  return array;
}

}  // namespace albert_ner::binding
