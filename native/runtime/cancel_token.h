// Cooperative cancellation: set from any thread, polled between batches.
#pragma once

#include <atomic>
#include <memory>

#include "common/error.h"

namespace albert_ner::runtime {

class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

/// What a task polls: the caller's token, if it gave one, and the environment's, set when it is torn down.
struct Cancellation {
  std::shared_ptr<CancelToken> caller;
  std::shared_ptr<CancelToken> environment;

  void poll() const {
    if ((caller && caller->cancelled()) || (environment && environment->cancelled())) {
      throw Error(ErrorCode::kAborted, "The operation was aborted");
    }
  }
};

}  // namespace albert_ner::runtime
