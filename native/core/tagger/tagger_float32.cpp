#include "core/tagger/tagger_float32.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/simd/gemm.h"
#include "core/simd/isa.h"
#include "core/tagger/tagger_kernels.h"

namespace albert_ner::core {

ALBERT_NER_DECLARE_KERNELS(TaggerKernels, kTaggerKernels)

const TaggerKernels& tagger_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kTaggerKernels);
}

namespace {

/// Features and hidden states have masks of their own.
constexpr uint32_t kFeaturesStream = 0x51ed270bU;
constexpr uint32_t kHiddenStream = 0x2c1b3c6dU;

/// Adds weight * counts of the tags to the sums and takes them from d_emissions; returns the paths' summed
/// scores.
double observe(const TaggerBatch& batch, const float* emissions_nk, const CrfMoveScores<float>& moves,
               float* d_emissions_nk, CrfMoveSums& sums) {
  const int64_t K = static_cast<int64_t>(sums.start_k.size());
  const double weight = 1.0 / batch.offsets[batch.B];
  double score = 0;
  for (int64_t b = 0; b < batch.B; ++b) {
    for (int32_t row = batch.offsets[b]; row < batch.offsets[b + 1]; ++row) {
      const int32_t tag = batch.tags[row];
      score += emissions_nk[row * K + tag];
      d_emissions_nk[row * K + tag] -= static_cast<float>(weight);
      if (row == batch.offsets[b]) {
        score += moves.start_k[tag];
        sums.start_k[tag] -= weight;
      } else {
        const int64_t move = batch.tags[row - 1] * K + tag;
        score += moves.transitions_kk[move];
        sums.transitions_kk[move] -= weight;
      }
      if (row + 1 == batch.offsets[b + 1]) {
        score += moves.end_k[tag];
        sums.end_k[tag] -= weight;
      }
    }
  }
  return score;
}

}  // namespace

void TaggerFloat32::drop_rows(const float* from, int64_t width, const TaggerDropout& dropout, uint32_t stream,
                              float* to) {
  const uint32_t seed =
      static_cast<uint32_t>(dropout.seed) ^ static_cast<uint32_t>(dropout.seed >> 32) ^ stream;
  const DropoutMask mask{seed, static_cast<float>(1 - dropout.probability)};
  for_each_block(N_, [&](int64_t first, int64_t rows) {
    tagger_kernels().drop(from + first * width, first * width, rows * width, mask, to + first * width);
  });
}

const float* TaggerFloat32::prepare_features(const TaggerBatch& batch, const TaggerDropout& dropout) {
  const int64_t D = sizes_.D;
  if (batch.features != nullptr && dropout.probability == 0) return batch.features;
  float* features = features_.reserve(N_ * D);
  const float* from = batch.features;
  if (from == nullptr) {
    for_each_block(N_, [&](int64_t first, int64_t rows) {
      tagger_kernels().widen(batch.features16 + first * D, rows * D, features + first * D);
    });
    from = features;
  }
  if (dropout.probability > 0) drop_rows(from, D, dropout, kFeaturesStream, features);
  return features;
}

void TaggerFloat32::classify(const TaggerPointers<const float*>& head, const float* hidden) {
  const auto [D, H, K] = sizes_;
  const int64_t tags = K;
  const int64_t width = 2 * H;
  const GemmKernels& gemm = gemm_kernels();
  float* packed =
      packed_classifier_.reserve(std::max(gemm.packed_floats(width, tags), gemm.packed_floats(tags, width)));
  gemm.pack({head.classifier_weight, 1, width}, width, tags, packed);
  float* emissions = emissions_.reserve(N_ * tags);
  for_each_block(N_, [&](int64_t first, int64_t rows) {
    for (int64_t row = first; row < first + rows; ++row) {
      std::copy_n(head.classifier_bias, tags, emissions + row * tags);
    }
    gemm.multiply({rows, width, tags}, {hidden + first * width, width}, packed,
                  {emissions + first * tags, tags, true});
  });
}

double TaggerFloat32::crf_step(const TaggerBatch& batch, const TaggerPointers<const float*>& head,
                               const TaggerPointers<float*>& gradients) {
  const int64_t K = sizes_.K;
  const CrfMoveScores<float> moves{head.transitions, head.start_transitions, head.end_transitions};
  const float* emissions = emissions_.data();
  if (!crf_kernels().scan(emissions, N_ * K).valid) return std::numeric_limits<double>::quiet_NaN();
  crf_.begin(batch.offsets, batch.B, K);
  crf_.set_moves(moves);
  crf_saved_.reserve(crf_.saved_floats());
  log_partition_b_.resize(batch.B);
  crf_.forward(emissions, false, crf_saved_.data(), log_partition_b_.data());
  float* d_emissions = d_emissions_.reserve(N_ * K);
  std::fill_n(d_emissions, N_ * K, 0.0f);
  weight_b_.assign(batch.B, static_cast<float>(1.0 / static_cast<double>(N_)));
  if (static_cast<int64_t>(move_sums_.start_k.size()) != K) move_sums_ = CrfMoveSums(K);
  move_sums_.clear();
  crf_.backward(emissions, crf_saved_.data(), weight_b_.data(), d_emissions, &move_sums_);
  double loss = -observe(batch, emissions, moves, d_emissions, move_sums_);
  for (const double log_partition : log_partition_b_) loss += log_partition;
  std::copy(move_sums_.transitions_kk.begin(), move_sums_.transitions_kk.end(), gradients.transitions);
  std::copy(move_sums_.start_k.begin(), move_sums_.start_k.end(), gradients.start_transitions);
  std::copy(move_sums_.end_k.begin(), move_sums_.end_k.end(), gradients.end_transitions);
  return loss / static_cast<double>(N_);
}

void TaggerFloat32::classifier_gradients(const TaggerPointers<const float*>& head, const float* hidden,
                                         const TaggerPointers<float*>& gradients) {
  const int64_t K = sizes_.K;
  const int64_t width = 2 * sizes_.H;
  const GemmKernels& gemm = gemm_kernels();
  const float* d_emissions = d_emissions_.data();
  for_each_task((width + kTransposedColumns - 1) / kTransposedColumns, [&](int64_t task) {
    const int64_t column = task * kTransposedColumns;
    gemm.multiply_transposed({K, N_, std::min(kTransposedColumns, width - column)}, {d_emissions, K},
                             {hidden + column, width, 1}, {gradients.classifier_weight + column, width});
  });
  lstm_kernels().sum_rows(d_emissions, N_, K, gradients.classifier_bias);
  float* packed = packed_classifier_.data();
  gemm.pack({head.classifier_weight, width, 1}, K, width, packed);
  float* d_hidden = d_hidden_.reserve(N_ * width);
  for_each_block(N_, [&](int64_t first, int64_t rows) {
    gemm.multiply({rows, K, width}, {d_emissions + first * K, K}, packed, {d_hidden + first * width, width});
  });
}

double TaggerFloat32::step(const TaggerBatch& batch, const TaggerSizes& sizes,
                           const TaggerPointers<const float*>& head, const TaggerDropout& dropout,
                           const TaggerPointers<float*>& gradients, float* d_features) {
  sizes_ = sizes;
  N_ = batch.offsets[batch.B];
  const int64_t P = BilstmFloat32::padded(sizes.H);
  const int64_t width = 2 * sizes.H;
  const float* features = prepare_features(batch, dropout);
  const LstmSaved<float*> saved{gates_.reserve(2 * N_ * 4 * P), cells_.reserve(2 * N_ * P)};
  float* hidden = hidden_.reserve(N_ * width);
  bilstm_.begin(batch.offsets, batch.B, sizes.D, sizes.H);
  bilstm_.forward(features, head.lstm, saved, hidden);
  const float* classified = hidden;
  if (dropout.probability > 0) {
    drop_rows(hidden, width, dropout, kHiddenStream, dropped_.reserve(N_ * width));
    classified = dropped_.data();
  }
  classify(head, classified);
  const double loss = crf_step(batch, head, gradients);
  if (!std::isfinite(loss)) return loss;
  classifier_gradients(head, classified, gradients);
  if (dropout.probability > 0) drop_rows(d_hidden_.data(), width, dropout, kHiddenStream, d_hidden_.data());
  bilstm_.backward(features, head.lstm, {saved.gates, saved.cells}, hidden, d_hidden_.data(),
                   {gradients.lstm, d_features, saved.gates});
  if (d_features != nullptr && dropout.probability > 0) {
    drop_rows(d_features, sizes.D, dropout, kFeaturesStream, d_features);
  }
  return loss;
}

}  // namespace albert_ner::core
