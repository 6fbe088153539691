#include "engine/head_config.h"

#include <string>

#include "engine/ngrams.h"

namespace albert_ner::engine {

std::vector<NameAndShape> parameter_shapes(const HeadConfig& config) {
  const int64_t D = config.feature_size + kNgramSlots * config.ngram_width;
  const int64_t H = config.hidden_size;
  const int64_t K = config.tag_count;
  std::vector<NameAndShape> shapes;
  for (const char* suffix : {"", "_reverse"}) {
    shapes.push_back({std::string("bilstm.weight_ih_l0") + suffix, {4 * H, D}});
    shapes.push_back({std::string("bilstm.weight_hh_l0") + suffix, {4 * H, H}});
    shapes.push_back({std::string("bilstm.bias_ih_l0") + suffix, {4 * H}});
    shapes.push_back({std::string("bilstm.bias_hh_l0") + suffix, {4 * H}});
  }
  shapes.push_back({"classifier.weight", {K, 2 * H}});
  shapes.push_back({"classifier.bias", {K}});
  shapes.push_back({"crf.transitions", {K, K}});
  shapes.push_back({"crf.start_transitions", {K}});
  shapes.push_back({"crf.end_transitions", {K}});
  if (config.mixed_layers > 1) {
    shapes.push_back({"mix.weights", {config.mixed_layers}});
    shapes.push_back({"mix.scale", {1}});
  }
  if (config.ngram_width > 0) {
    const int64_t R = static_cast<int64_t>(config.ngram_keys.size());
    shapes.push_back({"ngrams.weight", {R + 1, config.ngram_width}});
  }
  return shapes;
}

// A span ending in a tag that begins or is inside an entity goes on when the same label's inside tag follows. In
// schemes with end tags a span that ends in one can't go on.
std::vector<int32_t> continuation_table(const HeadConfig& config) {
  std::vector<int32_t> table(static_cast<size_t>(config.tag_count), -1);
  for (int64_t k = 0; k < config.tag_count; ++k) {
    if (config.tag_roles[k] != TagRole::kBegin && config.tag_roles[k] != TagRole::kInside) continue;
    for (int64_t next = 0; next < config.tag_count; ++next) {
      const bool prolongs =
          config.tag_roles[next] == TagRole::kInside && config.tag_labels[next] == config.tag_labels[k];
      if (prolongs) table[static_cast<size_t>(k)] = static_cast<int32_t>(next);
    }
  }
  return table;
}

}  // namespace albert_ner::engine
