#include "torch/encoder/neighbour_heads.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/logspace.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "common/check.h"

namespace albert_ner::encoder {
namespace {

constexpr std::array<int, 6> kDistances = {-1, 1, -2, 2, -3, 3};
/// Pairs of cosine and sine, where shapes have room for them. With fewer than the least, far places look like
/// near ones.
constexpr int64_t kMostPairs = 16;
constexpr int64_t kLeastPairs = 6;
/// By how much the logit of the unit at a head's distance exceeds that of its neighbour in the first layer;
/// higher up it is less, since what the sublayers add is noise at first.
constexpr double kSharpness = 8;

/// Angles per position: mostly wide ones, which tell neighbours apart, then some that tell far places from
/// near ones. [pairs]
at::Tensor angles(int64_t pairs) {
  const int64_t wide = (5 * pairs + 7) / 8;
  return at::cat({at::linspace(0.3, 2.6, wide), at::logspace(-2, -0.7, pairs - wide)});
}

/// [T, 2 * pairs]: cosines, then sines.
at::Tensor places(int64_t count, const at::Tensor& frequencies) {
  const at::Tensor phases = at::outer(at::arange(count, at::kFloat), frequencies);  // [T, pairs]
  return at::cat({at::cos(phases), at::sin(phases)}, 1);
}

/// Turns the place of a unit into the place `distance` further on. [2 * pairs, 2 * pairs]
at::Tensor rotation(int distance, const at::Tensor& frequencies) {
  const at::Tensor cosines = at::diag(at::cos(frequencies * distance));  // [pairs, pairs]
  const at::Tensor sines = at::diag(at::sin(frequencies * distance));    // [pairs, pairs]
  return at::cat({at::cat({cosines, -sines}, 1), at::cat({sines, cosines}, 1)}, 0);
}

/// Mean length of rows.
double length_of(const at::Tensor& rows) {
  return rows.norm(2, 1).mean().item<double>();
}

}  // namespace

int64_t attend_to_neighbours(Albert& encoder) {
  const AlbertConfig& config = encoder.config();
  const int64_t E = config.embedding_size;
  const int64_t D = config.hidden_size;
  const int64_t head_size = D / config.head_count;
  const int64_t pairs = std::min({kMostPairs, E / 4, head_size / 2});
  check_argument(pairs >= kLeastPairs && E <= D, "attentionStart",
                 "random, since only embeddings of at least " + std::to_string(4 * kLeastPairs) +
                     ", heads of at least " + std::to_string(2 * kLeastPairs) +
                     " and hidden rows no narrower than embeddings have room for neighbours",
                 "neighbours");
  const int64_t P = 2 * pairs;
  const at::Tensor frequencies = angles(pairs);  // [pairs]

  const at::Tensor& words = encoder.word_embeddings();                                    // [V, E]
  const at::Tensor& positions = encoder.weight("embeddings.position_embeddings.weight");  // [T, W]
  const int64_t W = positions.size(1);  // where words, positions and types are added
  int64_t word_width = E;
  double word_length = 0;
  if (config.layout == Layout::kGoogle) {
    word_width = E - P;
    words.narrow(1, word_width, P).zero_();
    word_length = length_of(words);
    const at::Tensor& mapping = encoder.weight("encoder.embedding_hidden_mapping_in.weight");  // [D, E]
    // What it reads is layer-normed, and so is what it makes of it.
    mapping.mul_(1 / (config.initializer_range * std::sqrt(static_cast<double>(E))));
    mapping.narrow(0, D - P, P).zero_();
    mapping.narrow(1, E - P, P).zero_();
    const double kept = std::sqrt(static_cast<double>(D) / static_cast<double>(E));
    mapping.narrow(0, D - P, P).narrow(1, E - P, P).copy_(at::eye(P) * kept);
  } else {
    const at::Tensor& mapping = encoder.weight("embeddings.word_embeddings_2.weight");  // [D, E]
    mapping.narrow(0, D - P, P).zero_();
    word_length = length_of(at::matmul(words, mapping.t()));
  }
  const double amplitude = word_length / std::sqrt(static_cast<double>(pairs));
  positions.zero_();
  positions.narrow(1, W - P, P).copy_(places(positions.size(0), frequencies) * amplitude);
  encoder.weight("embeddings.token_type_embeddings.weight").zero_();

  // Half of a hidden row's square, D in all, belongs to its place: D / P for each pair.
  const double next = at::cos(frequencies).sum().item<double>();
  const double square = kSharpness * std::sqrt(static_cast<double>(head_size)) * static_cast<double>(P) /
                        (static_cast<double>(D) * (static_cast<double>(pairs) - next));
  const at::Tensor key_block = at::eye(P) * std::sqrt(square);  // [P, P]
  const int64_t heads = std::min<int64_t>(config.head_count, kDistances.size());
  for (int64_t group = 0; group < config.group_count; ++group) {
    for (int64_t head = 0; head < heads; ++head) {
      const auto add = [&](const char* part, const at::Tensor& block) {
        const at::Tensor& matrix =
            encoder.weight(layer_prefix(group) + "attention." + part + ".weight");  // [D, D]
        matrix.narrow(0, head * head_size, P).narrow(1, D - P, P).add_(block.to(matrix.device()));
      };
      add("query", at::matmul(rotation(kDistances[head], frequencies), key_block));
      add("key", key_block);
    }
  }
  return word_width;
}

}  // namespace albert_ner::encoder
