// A device that stands in for a GPU where there is none, to test what the library does with devices:
// libtorch's operators run on the CPU, on copies, and ours run their CUDA kernels under the emulator. It
// knows less than a GPU and forgives less:
//
//   memory         is closed to the host but for kernels and copies, and holds NaN when it is handed out:
//                  a pointer the host follows is a crash
//   mixed devices  a tensor of the CPU beside those of the device is an error in every operator
//   no kernel      an operator of ours without one is an error
//   waits          are counted: a copy to the CPU, one from it that isn't told not to wait, and a number
//                  taken from a tensor would each wait for a GPU
//
// It can't show what only time shows: whether copies and kernels of a real device overlap as they must not.

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>

#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "emulator.h"

namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);

std::atomic<int64_t> waits{0};
/// Copies that stand for the work of a kernel are not for the host.
thread_local int fallback_depth = 0;

/// The device's memory: one range of addresses, cut into blocks that are used again for the same size.
class Memory final : public c10::Allocator {
 public:
  static Memory& instance() {
    static Memory* memory = new Memory;  // tensors may outlive static objects
    return *memory;
  }

  /// Opens and closes the memory; calls may be nested, also those of two threads.
  void open(bool opened) {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_count_ += opened ? 1 : -1;
    if (open_count_ == (opened ? 1 : 0)) {
      TORCH_CHECK(::mprotect(begin_, kBytes, opened ? PROT_READ | PROT_WRITE : PROT_NONE) == 0, "mprotect");
    }
  }

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, kDevice};
    const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    char* block = take(size);
    open(true);
    std::memset(block, 0xff, size);
    open(false);
    return {block, block, [](void* data) { instance().give_back(static_cast<char*>(data)); }, kDevice};
  }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    instance().open(true);
    std::memcpy(to, from, bytes);
    instance().open(false);
  }

 private:
  static constexpr size_t kBytes = size_t{1} << 30;
  static constexpr size_t kAlignment = 64;

  Memory()
      : begin_(static_cast<char*>(
            ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    TORCH_CHECK(begin_ != MAP_FAILED, "mmap");
  }

  char* take(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<char*>& free = free_[size];
    char* block = begin_ + used_;
    if (free.empty()) {
      used_ += size;
      TORCH_CHECK(used_ <= kBytes, "The stand-in's memory is full");
    } else {
      block = free.back();
      free.pop_back();
    }
    sizes_[block] = size;
    return block;
  }

  void give_back(char* block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_[sizes_.at(block)].push_back(block);
  }

  std::mutex mutex_;
  char* begin_;
  size_t used_ = 0;
  int open_count_ = 0;
  std::map<size_t, std::vector<char*>> free_;
  std::map<char*, size_t> sizes_;
};

/// While it lives the memory is open.
struct Access {
  Access() { Memory::instance().open(true); }
  ~Access() { Memory::instance().open(false); }
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
};

struct StandInGuard final : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, kDevice);
  }
  c10::Stream exchangeStream(c10::Stream) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, kDevice);
  }
  // All work is done when the call returns.
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, StandInGuard)

/// What libtorch's own threads ask a device.
struct StandInHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
};

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &Memory::instance(), kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &Memory::instance(), kKeys,
                                           c10::dtype_or_default(dtype));
}

/// The same memory as a tensor of the CPU.
at::Tensor as_host(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() > 0) {
    const Access access;
    as_host(to).copy_(as_host(from));
  }
  const bool waits_here = to.is_cpu() || (from.is_cpu() && !non_blocking);
  if (waits_here && fallback_depth == 0) ++waits;
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  // What is resized is new: nothing of it has to be kept.
  if (from.sizes() != to.sizes()) at::native::resize_(to, from.sizes());
  return copy_from(from, to, false);
}

/// Numbers from the source code are tensors of the CPU, too.
bool is_foreign(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device() != kDevice && !tensor.unsafeGetTensorImpl()->is_wrapped_number();
}

void check_devices(const std::string& name, const c10::IValue& value) {
  auto check = [&](const at::Tensor& tensor) {
    TORCH_CHECK(!is_foreign(tensor), name, " takes a tensor of ", tensor.device(),
                " beside those of the stand-in");
  };
  if (value.isTensor()) check(value.toTensor());
  if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) check(tensor);
  }
  if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      if (tensor) check(*tensor);
    }
  }
}

/// Every operator that has no kernel here.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string& name = op.schema().name();
  TORCH_CHECK(name.rfind("albert_ner", 0) != 0, "There is no CUDA kernel of ", name);
  for (const c10::IValue& argument : torch::jit::last(*stack, op.schema().arguments().size())) {
    check_devices(name, argument);
  }
  if (name == "aten::_local_scalar_dense" && fallback_depth == 0) ++waits;
  struct Inside {
    Inside() { ++fallback_depth; }
    ~Inside() { --fallback_depth; }
  } const inside;
  at::native::cpu_fallback(op, stack);
}

/// Attention the plain way, whose parts run on the CPU each.
int64_t choose_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const std::optional<at::Tensor>&, double, bool, std::optional<double>, bool) {
  return 0;  // sdp::SDPBackend::math
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("_fused_sdp_choice", choose_attention);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

/// How often the host waited for the device since the last call.
at::Tensor take_waits() {
  return at::scalar_tensor(waits.exchange(0), at::kLong);
}

TORCH_LIBRARY_FRAGMENT(albert_ner_emulated, m) {
  c10::register_privateuse1_backend("stand_in");
  at::RegisterPrivateUse1HooksInterface(new StandInHooks);  // for the life of the process
  cuda_emulator::launch_hook = [](bool inside) { Memory::instance().open(inside); };
  m.def("take_waits() -> Tensor", take_waits);
}

}  // namespace
