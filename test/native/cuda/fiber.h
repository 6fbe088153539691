// Fibers: functions with a stack of their own that give way to each other by hand. Test-only. On x86-64 a
// switch is a few lines of assembly; elsewhere swapcontext does it, which is slower (it saves the signal
// mask, a call of the system each time).
//
// AddressSanitizer is told of every switch, or it would take the other stack's frames for damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

// CUDA_EMULATOR_UCONTEXT takes the other way on x86-64 too, to test it.
#if defined(__x86_64__) && !defined(CUDA_EMULATOR_UCONTEXT)
#define CUDA_EMULATOR_ASSEMBLY 1
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_EMULATOR_ASAN 1
#endif
#endif
#if defined(CUDA_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_emulator {

#if defined(CUDA_EMULATOR_ASSEMBLY)
extern "C" void cuda_emulator_switch(void** save, void* to);
// The registers a function must keep go onto the old stack and come off the new one. Weak, since the header
// may be part of several files of one library.
__asm__(
    ".text\n"
    ".weak cuda_emulator_switch\n"
    ".type cuda_emulator_switch, @function\n"
    "cuda_emulator_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size cuda_emulator_switch, .-cuda_emulator_switch\n");
#endif

/// Runs a function piece by piece: resume() enters it, yield() inside it comes back. One host thread only.
class Fiber {
 public:
  static constexpr size_t kStackBytes = 128 * 1024;

  Fiber() : stack_(new unsigned char[kStackBytes]) {}
  Fiber(Fiber&&) = default;

  /// The next resume() starts `body`.
  void start(const std::function<void()>* body) {
    body_ = body;
    finished_ = false;
    failure_ = nullptr;
#if defined(CUDA_EMULATOR_ASAN)
    // A fiber that was left in the middle leaves its frames marked as such.
    __asan_unpoison_memory_region(stack_.get(), kStackBytes);
    fake_stack_ = nullptr;
#endif
#if defined(CUDA_EMULATOR_ASSEMBLY)
    const uintptr_t top = (reinterpret_cast<uintptr_t>(stack_.get()) + kStackBytes) & ~uintptr_t{15};
    void** frame = reinterpret_cast<void**>(top);
    *--frame = nullptr;  // where a return address would be: entry() never returns
    *--frame = reinterpret_cast<void*>(&Fiber::entry);
    for (int reg = 0; reg < 6; ++reg) *--frame = nullptr;
    self_ = frame;
#else
    getcontext(&self_);
    self_.uc_stack.ss_sp = stack_.get();
    self_.uc_stack.ss_size = kStackBytes;
    self_.uc_link = nullptr;
    makecontext(&self_, &Fiber::entry, 0);
#endif
  }

  /// Runs the function until it yields or ends; rethrows what it threw.
  void resume() {
    Fiber* const outer = std::exchange(running_, this);
    enter();
    running_ = outer;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  /// Called inside the function.
  void yield() { leave(false); }
  bool finished() const { return finished_; }

 private:
  static void entry() {
    Fiber& fiber = *running_;
    fiber.arrived();
    try {
      (*fiber.body_)();
    } catch (...) {
      fiber.failure_ = std::current_exception();
    }
    fiber.finished_ = true;
    fiber.leave(true);
  }

  void enter() {
#if defined(CUDA_EMULATOR_ASAN)
    void* outer_fake = nullptr;
    __sanitizer_start_switch_fiber(&outer_fake, stack_.get(), kStackBytes);
#endif
    switch_to_fiber();
#if defined(CUDA_EMULATOR_ASAN)
    __sanitizer_finish_switch_fiber(outer_fake, nullptr, nullptr);
#endif
  }

  void leave([[maybe_unused]] bool for_good) {
#if defined(CUDA_EMULATOR_ASAN)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, outer_stack_, outer_bytes_);
#endif
    switch_to_outer();
    arrived();
  }

  void arrived() {
#if defined(CUDA_EMULATOR_ASAN)
    __sanitizer_finish_switch_fiber(fake_stack_, &outer_stack_, &outer_bytes_);
#endif
  }

#if defined(CUDA_EMULATOR_ASSEMBLY)
  void switch_to_fiber() { cuda_emulator_switch(&outer_, self_); }
  void switch_to_outer() { cuda_emulator_switch(&self_, outer_); }
  void* self_ = nullptr;
  void* outer_ = nullptr;
#else
  void switch_to_fiber() { swapcontext(&outer_, &self_); }
  void switch_to_outer() { swapcontext(&self_, &outer_); }
  ucontext_t self_{};
  ucontext_t outer_{};
#endif

  inline static thread_local Fiber* running_ = nullptr;
  std::unique_ptr<unsigned char[]> stack_;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr failure_;
  bool finished_ = true;
#if defined(CUDA_EMULATOR_ASAN)
  void* fake_stack_ = nullptr;
  const void* outer_stack_ = nullptr;
  size_t outer_bytes_ = 0;
#endif
};

}  // namespace cuda_emulator
