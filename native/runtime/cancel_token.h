// Cooperative cancellation: set from any thread, polled between batches.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "common/error.h"

namespace albert_ner::runtime {

class CancelToken {
 public:
  /// Tests hold a call up: its poll of number `hold_at`, from 1, waits until the token is released or
  /// cancelled.
  explicit CancelToken(int64_t hold_at = 0) : hold_at_(hold_at) {}

  void cancel() {
    cancelled_.store(true);
    release();
  }

  void release() {
    released_.store(true);
    released_.notify_all();
  }

  /// Polls so far, with one that is held.
  int64_t polls() const { return polls_.load(); }

  /// True once it is cancelled. Called by whoever works, between batches.
  bool poll() {
    if (polls_.fetch_add(1) + 1 == hold_at_) released_.wait(false);
    return cancelled_.load();
  }

 private:
  const int64_t hold_at_;
  std::atomic<int64_t> polls_{0};
  std::atomic<bool> released_{false};
  std::atomic<bool> cancelled_{false};
};

/// What a task polls: the caller's token, if it gave one, and the environment's, set when it is torn down.
struct Cancellation {
  std::shared_ptr<CancelToken> caller;
  std::shared_ptr<CancelToken> environment;

  void poll() const {
    if ((caller && caller->poll()) || (environment && environment->poll())) {
      throw Error(ErrorCode::kAborted, "The operation was aborted");
    }
  }
};

}  // namespace albert_ner::runtime
