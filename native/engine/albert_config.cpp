#include "engine/albert_config.h"

namespace albert_ner::engine {

std::string layer_prefix(int64_t group) {
  return "encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers.0.";
}

std::vector<NameAndShape> weight_shapes(const AlbertConfig& config) {
  const int64_t V = config.vocab_size;
  const int64_t E = config.embedding_size;
  const int64_t D = config.hidden_size;
  const int64_t I = config.intermediate_size;
  const bool google = config.layout == Layout::kGoogle;
  const int64_t width = google ? E : D;
  std::vector<NameAndShape> shapes = {
      {"embeddings.word_embeddings.weight", {V, E}},
      {"embeddings.position_embeddings.weight", {config.max_position, width}},
      {"embeddings.token_type_embeddings.weight", {config.type_vocab_size, width}},
      {"embeddings.LayerNorm.weight", {width}},
      {"embeddings.LayerNorm.bias", {width}},
  };
  if (google) {
    shapes.push_back({"encoder.embedding_hidden_mapping_in.weight", {D, E}});
    shapes.push_back({"encoder.embedding_hidden_mapping_in.bias", {D}});
  } else {
    shapes.push_back({"embeddings.word_embeddings_2.weight", {D, E}});
  }
  for (int64_t group = 0; group < config.group_count; ++group) {
    const std::string layer = layer_prefix(group);
    for (const char* part : {"query", "key", "value", "dense"}) {
      shapes.push_back({layer + "attention." + part + ".weight", {D, D}});
      shapes.push_back({layer + "attention." + part + ".bias", {D}});
    }
    shapes.push_back({layer + "attention.LayerNorm.weight", {D}});
    shapes.push_back({layer + "attention.LayerNorm.bias", {D}});
    shapes.push_back({layer + "ffn.weight", {I, D}});
    shapes.push_back({layer + "ffn.bias", {I}});
    shapes.push_back({layer + "ffn_output.weight", {D, I}});
    shapes.push_back({layer + "ffn_output.bias", {D}});
    shapes.push_back({layer + "full_layer_layer_norm.weight", {D}});
    shapes.push_back({layer + "full_layer_layer_norm.bias", {D}});
  }
  return shapes;
}

}  // namespace albert_ner::engine
