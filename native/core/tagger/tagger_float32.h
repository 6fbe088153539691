// The head's training step on plain memory: from features and tags to the loss and every gradient, with one
// workspace that serves step after step. Once it has seen the largest batch it allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bilstm/bilstm_float32.h"
#include "core/crf/crf_float32.h"
#include "core/simd/buffer.h"

namespace albert_ner::core {

struct TaggerBatch {
  const float* features;       // [N, D], or null: they are float16
  const uint16_t* features16;  // [N, D] float16 numbers
  const int32_t* offsets;      // [B+1]
  const int32_t* tags;         // [N]
  int64_t B;
};

struct TaggerSizes {
  int64_t D;
  int64_t H;
  int64_t K;
};

/// The head's parameters, or their gradients.
template <typename Pointer>
struct TaggerPointers {
  LstmDirections<Pointer> lstm;
  Pointer classifier_weight;  // [K, 2H]
  Pointer classifier_bias;    // [K]
  Pointer transitions;        // [K, K] forbidden ones at -inf
  Pointer start_transitions;  // [K]
  Pointer end_transitions;    // [K]
};

/// Of the features and of the BiLSTM's output. 0 keeps everything.
struct TaggerDropout {
  double probability;
  uint64_t seed;
};

/// For one thread at a time.
class TaggerFloat32 {
 public:
  /// Negative log-likelihood in nats, mean per row, and its gradients, which are overwritten; those of the
  /// features only where d_features [N, D] isn't null. Not finite when the tags use forbidden moves or a
  /// parameter isn't finite; the gradients mean nothing then.
  double step(const TaggerBatch& batch, const TaggerSizes& sizes, const TaggerPointers<const float*>& head,
              const TaggerDropout& dropout, const TaggerPointers<float*>& gradients, float* d_features);

 private:
  const float* prepare_features(const TaggerBatch& batch, const TaggerDropout& dropout);
  void drop_rows(const float* from, int64_t width, const TaggerDropout& dropout, uint32_t stream, float* to);
  void classify(const TaggerPointers<const float*>& head, const float* hidden);
  double crf_step(const TaggerBatch& batch, const TaggerPointers<const float*>& head,
                  const TaggerPointers<float*>& gradients);
  void classifier_gradients(const TaggerPointers<const float*>& head, const float* hidden,
                            const TaggerPointers<float*>& gradients);

  TaggerSizes sizes_{};
  int64_t N_ = 0;
  BilstmFloat32 bilstm_;
  CrfFloat32 crf_;
  CrfMoveSums move_sums_{0};
  std::vector<double> log_partition_b_;
  std::vector<float> weight_b_;
  Buffer<float> features_;     // [N, D]
  Buffer<float> gates_;        // [2, N, 4, P]
  Buffer<float> cells_;        // [2, N, P]
  Buffer<float> hidden_;       // [N, 2H]
  Buffer<float> dropped_;      // [N, 2H]
  Buffer<float> d_hidden_;     // [N, 2H]
  Buffer<float> emissions_;    // [N, K]
  Buffer<float> d_emissions_;  // [N, K]
  Buffer<float> packed_classifier_;
  Buffer<float> crf_saved_;
};

}  // namespace albert_ner::core
