// The classes Session, CancelToken and FeatureStore of lib/native/binding.ts.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <optional>

#include "binding/environment.h"
#include "runtime/executor.h"
#include "torch/encoder/albert.h"
#include "torch/features/feature_store.h"
#include "torch/model/head.h"
#include "torch/training/embedding_fit.h"
#include "torch/training/ngram_fit.h"
#include "torch/training/optimizer.h"
#include "torch/training/pretraining.h"

namespace albert_ner::binding {

/// What a session's thread works on; touched on that thread only.
struct SessionState {
  at::Device device = at::kCPU;
  std::optional<encoder::Albert> encoder;
  /// Dimensions of its word embeddings, the first ones, that are fitted to text.
  int64_t word_width = 0;
  std::optional<model::Head> head;
  std::optional<encoder::NamedTensors> pretraining_heads;
  std::optional<training::EmbeddingFit> embedding_fit;
  std::optional<training::NgramFit> ngram_fit;
  std::optional<training::Optimizer> optimizer;
};

/// The content of a JavaScript Session.
class SessionHandle : public Stoppable {
 public:
  static constexpr napi_type_tag kTypeTag = {0x6a1f0c55d1b04f7aULL, 0x9c3e5a7712d84be1ULL};
  static constexpr const char* kName = "Session";

  SessionHandle(Environment& environment, at::Device device, int threads);
  ~SessionHandle() override;
  void stop() override;

  Environment& environment;
  std::shared_ptr<SessionState> state = std::make_shared<SessionState>();
  bool disposed = false;
  bool stopped = false;
  std::unique_ptr<runtime::Executor> executor;
};

struct CancelTokenHandle {
  static constexpr napi_type_tag kTypeTag = {0x1d6a0d3b5b6c4e11ULL, 0xa7d7a2ff3c9041b2ULL};
  static constexpr const char* kName = "CancelToken";

  explicit CancelTokenHandle(int64_t hold_at) : token(std::make_shared<runtime::CancelToken>(hold_at)) {}

  const std::shared_ptr<runtime::CancelToken> token;
};

/// The store works on the thread of the session that made it; the counts are read on the JavaScript thread.
struct SharedFeatureStore {
  SharedFeatureStore(const std::string& path, const std::shared_ptr<SessionState>& session)
      : owner(session), store(path) {}

  void append(const features::PackedFeatures& pack) {
    store.append(pack);
    sequence_count = store.sequence_count();
    row_count = store.row_count();
  }

  const std::weak_ptr<SessionState> owner;
  features::FeatureStore store;
  std::atomic<int64_t> sequence_count{0};
  std::atomic<int64_t> row_count{0};
};

struct FeatureStoreHandle {
  static constexpr napi_type_tag kTypeTag = {0x85c5a6aa5a0e4f0dULL, 0xb0c1f1f0a1f24c3dULL};
  static constexpr const char* kName = "FeatureStore";

  std::shared_ptr<SharedFeatureStore> shared;
};

void register_session(Napi::Env env, Napi::Object exports);

}  // namespace albert_ner::binding
