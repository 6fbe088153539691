// Memory that an operator keeps from call to call: grows when a call needs more, never shrinks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace albert_ner::core {

/// Uninitialised values on a cache-line boundary.
template <typename T>
class Buffer {
 public:
  /// Room for `count` values. What was in the buffer is lost when it grows.
  T* reserve(int64_t count) {
    if (count > capacity_) {
      constexpr size_t kLine = 64;
      const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
      data_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
      if (!data_) throw std::bad_alloc();
      capacity_ = count;
    }
    return data_.get();
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };

  std::unique_ptr<T, Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace albert_ner::core
