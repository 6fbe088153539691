// The head's shape: BiLSTM, linear layer and CRF with the constraints of the tag scheme.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor_file.h"

namespace albert_ner::engine {

/// Role of a tag in its scheme; lib/native/binding.ts has the same numbers.
enum class TagRole : int32_t { kOutside = 0, kBegin = 1, kInside = 2, kEnd = 3, kSingle = 4 };

struct HeadConfig {
  int64_t feature_size = 0;         // D, of one hidden state
  int64_t mixed_layers = 1;         // M hidden states side by side, mixed by learned weights if M > 1
  int64_t hidden_size = 0;          // H, per direction
  int64_t ngram_width = 0;          // W of an n-gram's row; 0: features only
  std::vector<int32_t> ngram_keys;  // [R] hashes that have a row, ascending; see torch/ngrams.h
  int64_t tag_count = 0;            // K
  double dropout = 0;               // of features and of the BiLSTM's output, training only
  double ngram_dropout = 0;         // of whole n-grams, training only
  std::vector<TagRole> tag_roles;   // [K]
  std::vector<int32_t> tag_labels;  // [K], -1 for O
  std::vector<uint8_t> allowed_transitions;  // [K*K], row i column j: j may follow i
  std::vector<uint8_t> allowed_starts;       // [K]
  std::vector<uint8_t> allowed_ends;         // [K]
};

/// Names and shapes of the parameters in their fixed order: bilstm.*, classifier.*, crf.*, mix.* if layers are
/// mixed, and ngrams.weight [R+1, W] if there are n-grams; its first row is for those that have none.
std::vector<NameAndShape> parameter_shapes(const HeadConfig& config);

/// [K]: the tag that prolongs a span ending in tag k, -1 for none.
std::vector<int32_t> continuation_table(const HeadConfig& config);

}  // namespace albert_ner::engine
