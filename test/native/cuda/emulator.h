// Runs CUDA kernels on the CPU, to test their logic where there is no GPU. Test-only: it stands in for CUDA's
// headers and is included before a .cu file (-include) that is then compiled as C++. Each thread of a block
// is a fiber; blocks run one after another. What it checks:
//
//   races                  threads and blocks run in an order of the test's choosing (set_order): with a race
//                          the results of two orders differ
//   divergent barriers     a barrier or shuffle that some of its threads never reach, or reach elsewhere in
//                          the source, is an error with the kernel's name
//   uninitialised shared   shared memory starts as all ones in each block: NaN, or -1
//   overruns               guard words around shared memory, checked after each block; under AddressSanitizer
//                          buffers of exact size instead, so that it reports the access itself
//
// It can't show speed, coalescing, memory ordering beyond barriers, nor the last bits of a device's exp. The
// warp is 32 lanes. CUDA's bare __shared__ is missing on purpose: shared memory comes from
// torch/support/launch.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fiber.h"

#define ALBERT_NER_CUDA_EMULATOR 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};

namespace cuda_emulator {

using Where = std::source_location;

/// Orders in which ready threads, and blocks, run. Every test of a kernel goes through all of them.
enum class Order : int { kAscending = 0, kDescending = 1, kShuffled = 2, kShuffledAgain = 3 };
inline constexpr int kOrderCount = 4;

/// The order of the launches to come, in all files of the library.
inline Order& current_order() {
  static Order order = Order::kAscending;
  return order;
}
inline void set_order(Order order) {
  current_order() = order;
}

/// Indices 0 .. count-1 in one of the orders.
class Sequence {
 public:
  Sequence(Order order, unsigned count)
      : order_(order), random_(static_cast<unsigned>(order)), indices_(count) {
    std::iota(indices_.begin(), indices_.end(), 0u);
    if (order == Order::kDescending) std::reverse(indices_.begin(), indices_.end());
  }
  /// Shuffled anew each time, if it is shuffled.
  const std::vector<unsigned>& next() {
    const bool shuffled = order_ == Order::kShuffled || order_ == Order::kShuffledAgain;
    if (shuffled) std::shuffle(indices_.begin(), indices_.end(), random_);
    return indices_;
  }

 private:
  Order order_;
  std::mt19937 random_;
  std::vector<unsigned> indices_;
};

/// Memory of exact size, all ones, with guard words around it (none under AddressSanitizer, which has its
/// own).
class SharedBuffer {
 public:
  explicit SharedBuffer(size_t bytes)
      : bytes_(bytes), memory_(new (std::align_val_t{kAlignment}) unsigned char[bytes + 2 * kGuard]) {
    std::memset(memory_.get(), kGuardByte, bytes + 2 * kGuard);
    std::memset(data(), 0xff, bytes);
  }
  unsigned char* data() { return memory_.get() + kGuard; }
  size_t bytes() const { return bytes_; }
  bool intact() const {
    const unsigned char* first = memory_.get();
    auto guarded = [](const unsigned char* begin) {
      return std::all_of(begin, begin + kGuard, [](unsigned char byte) { return byte == kGuardByte; });
    };
    return guarded(first) && guarded(first + kGuard + bytes_);
  }

 private:
  struct Free {
    void operator()(unsigned char* memory) const {
      ::operator delete[](memory, std::align_val_t{kAlignment});
    }
  };
  static constexpr size_t kAlignment = 64;
#if defined(CUDA_EMULATOR_ASAN)
  static constexpr size_t kGuard = 0;
#else
  static constexpr size_t kGuard = 64;
#endif
  static constexpr unsigned char kGuardByte = 0xa5;
  size_t bytes_;
  std::unique_ptr<unsigned char[], Free> memory_;
};

/// Where a thread waits.
struct Barrier {
  std::string_view kind;  // empty: nowhere
  uint32_t mask = 0;      // lanes of the warp; 0 for the whole block
  unsigned line = 0;
  bool operator==(const Barrier&) const = default;
};

struct Thread {
  Fiber fiber;
  dim3 index;
  unsigned rank = 0;
  Barrier barrier;
  uint64_t slot = 0;  // what the other lanes of the warp may read
};

/// One block in execution.
class Block {
 public:
  inline static thread_local Block* current = nullptr;

  dim3 block_index, block_size, grid_size;
  Thread* thread = nullptr;  // the one that runs

  Block(std::string kernel, dim3 grid, dim3 size)
      : block_size(size), grid_size(grid), kernel_(std::move(kernel)) {
    threads_.resize(size.x * size.y * size.z);
  }

  void run(const std::function<void()>& body, size_t shared_bytes, Sequence& order) {
    dynamic_ = std::make_unique<SharedBuffer>(shared_bytes);
    static_.clear();
    const unsigned count = static_cast<unsigned>(threads_.size());
    for (unsigned rank = 0; rank < count; ++rank) {
      Thread& started = threads_[rank];
      started.rank = rank;
      started.index =
          dim3(rank % block_size.x, rank / block_size.x % block_size.y, rank / (block_size.x * block_size.y));
      started.barrier = {};
      started.fiber.start(&body);
    }
    while (
        std::any_of(threads_.begin(), threads_.end(), [](const Thread& t) { return !t.fiber.finished(); })) {
      for (unsigned rank : order.next()) {
        thread = &threads_[rank];
        if (!thread->fiber.finished() && thread->barrier.kind.empty()) thread->fiber.resume();
      }
      release();
    }
    check_guards();
  }

  void wait(Barrier barrier) {
    thread->barrier = barrier;
    thread->fiber.yield();
  }

  unsigned lane() const { return thread->rank % 32; }
  Thread& lane_thread(unsigned lane_index) { return threads_[thread->rank / 32 * 32 + lane_index]; }

  template <typename T>
  T* dynamic_shared() {
    return reinterpret_cast<T*>(dynamic_->data());
  }

  /// The array a declaration stands for; the same for all threads of the block.
  template <typename T>
  T* static_shared(const void* declaration, size_t count) {
    std::unique_ptr<SharedBuffer>& buffer = static_[declaration];
    if (!buffer) buffer = std::make_unique<SharedBuffer>(count * sizeof(T));
    return reinterpret_cast<T*>(buffer->data());
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error("CUDA emulator: kernel " + kernel_ + ", block " + std::to_string(block_index.x) +
                             "," + std::to_string(block_index.y) + "," + std::to_string(block_index.z) +
                             ": " + what);
  }

 private:
  static std::string describe(const Thread& t) {
    if (t.fiber.finished()) return "thread " + std::to_string(t.rank) + " has returned";
    return "thread " + std::to_string(t.rank) + " waits in " + std::string(t.barrier.kind) + " at line " +
           std::to_string(t.barrier.line);
  }

  /// Frees every barrier that all its threads have reached. One that nobody can complete any more is an
  /// error.
  void release() {
    bool any = false;
    for (Thread& t : threads_) {
      if (t.fiber.finished() || t.barrier.kind.empty()) {
        any |= !t.fiber.finished();
        continue;
      }
      if (t.barrier.mask != 0 && complete(t)) any = true;
    }
    any |= release_block();
    const auto stuck =
        std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) { return !t.fiber.finished(); });
    if (!any && stuck != threads_.end()) explain(*stuck);
  }

  /// Frees the lanes that wait with `t`, if all are there.
  bool complete(const Thread& t) {
    const unsigned first = t.rank / 32 * 32;
    const Barrier barrier = t.barrier;
    for (unsigned lane_index = 0; lane_index < 32; ++lane_index) {
      if ((barrier.mask >> lane_index & 1) == 0) continue;
      if (first + lane_index >= threads_.size() || !(threads_[first + lane_index].barrier == barrier))
        return false;
      if (threads_[first + lane_index].fiber.finished()) return false;
    }
    for (unsigned lane_index = 0; lane_index < 32; ++lane_index) {
      if (barrier.mask >> lane_index & 1) threads_[first + lane_index].barrier = {};
    }
    return true;
  }

  bool release_block() {
    const Barrier barrier = threads_[0].barrier;
    if (barrier.kind.empty() || barrier.mask != 0) return false;
    const bool all = std::all_of(threads_.begin(), threads_.end(), [&](const Thread& t) {
      return !t.fiber.finished() && t.barrier == barrier;
    });
    if (!all) return false;
    for (Thread& t : threads_) t.barrier = {};
    return true;
  }

  /// Names a thread that waits and one it waits for in vain.
  [[noreturn]] void explain(const Thread& waiting) const {
    const unsigned first = waiting.barrier.mask == 0 ? 0 : waiting.rank / 32 * 32;
    for (unsigned rank = first; rank < threads_.size(); ++rank) {
      const Thread& other = threads_[rank];
      const bool wanted =
          waiting.barrier.mask == 0 || (rank - first < 32 && waiting.barrier.mask >> (rank - first) & 1);
      if (!wanted || (!other.fiber.finished() && other.barrier == waiting.barrier)) continue;
      fail("divergent barrier: " + describe(waiting) + ", but " + describe(other));
    }
    fail("divergent barrier: " + describe(waiting) + " for a lane that the block doesn't have");
  }

  void check_guards() const {
    if (!dynamic_->intact())
      fail("write outside of dynamic shared memory (" + std::to_string(dynamic_->bytes()) + " bytes)");
    for (const auto& [declaration, buffer] : static_) {
      if (!buffer->intact())
        fail("write outside of a shared array of " + std::to_string(buffer->bytes()) + " bytes");
    }
  }

  std::string kernel_;
  std::vector<Thread> threads_;
  std::unique_ptr<SharedBuffer> dynamic_;
  std::map<const void*, std::unique_ptr<SharedBuffer>> static_;
};

/// Called with true before a launch and with false behind it: for device memory that is closed to the host.
inline void (*launch_hook)(bool inside) = nullptr;

/// What <<<grid, block, shared_bytes>>> does, in the current order.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            const Arguments&... arguments) {
  const std::function<void()> body = [&] { kernel(arguments...); };
  Block running(name, grid, block);
  Block* const outer = std::exchange(Block::current, &running);
  struct Restore {
    Block* outer;
    ~Restore() {
      Block::current = outer;
      if (launch_hook != nullptr) launch_hook(false);
    }
  } restore{outer};
  if (launch_hook != nullptr) launch_hook(true);
  Sequence blocks(current_order(), grid.x * grid.y * grid.z);
  Sequence threads(current_order(), block.x * block.y * block.z);
  for (unsigned number : blocks.next()) {
    running.block_index = dim3(number % grid.x, number / grid.x % grid.y, number / (grid.x * grid.y));
    running.run(body, shared_bytes, threads);
  }
}

}  // namespace cuda_emulator

#include "intrinsics.h"
