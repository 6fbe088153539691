#include "torch/support/device.h"

#include <ATen/Context.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <filesystem>
#include <mutex>

#include "common/check.h"

namespace albert_ner {
namespace {

/// The folder the loaded libtorch_cpu came from.
std::filesystem::path libtorch_folder() {
  Dl_info info{};
  at::Context& (*inside_libtorch)() = &at::globalContext;
  if (::dladdr(reinterpret_cast<void*>(inside_libtorch), &info) == 0) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

/// The addon never links libtorch_cuda, which can't be loaded without CUDA's libraries; this opens it, and it
/// registers its kernels itself.
std::optional<std::string> load_cuda() {
  if (at::hasCUDA()) return std::nullopt;
  const std::filesystem::path library = libtorch_folder() / "libtorch_cuda.so";
  if (!std::filesystem::exists(library)) return "this libtorch was built without CUDA";
  if (::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL) == nullptr)
    return "no NVIDIA driver was found (libcuda.so.1)";
  if (::dlopen(library.c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) {
    return std::string("the CUDA part of libtorch can't be loaded: ") + ::dlerror();
  }
  if (!at::hasCUDA()) return "the CUDA part of libtorch was loaded but found no usable driver or device";
  return std::nullopt;
}

/// Whether this is the device the tests put in a GPU's place (test/native/cuda/stand-in.cpp). Only a process
/// that has loaded it knows of one.
bool is_stand_in(const std::string& name) {
  return c10::impl::hasDeviceGuardImpl(c10::DeviceType::PrivateUse1) && name == "stand_in";
}

int64_t device_count() {
  return at::globalContext().getAcceleratorHooksInterface(at::kCUDA).deviceCount();
}

}  // namespace

std::optional<std::string> cuda_unavailable_reason() {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  static const std::optional<std::string> problem = load_cuda();
  if (problem) return problem;
  if (device_count() == 0) return "the driver shows no device";
  return std::nullopt;
}

c10::Device parse_device(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (is_stand_in(name)) return c10::Device(c10::DeviceType::PrivateUse1, 0);
  const bool numbered = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 9 &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  check_argument(name == "auto" || name == "cuda" || numbered, "device", "auto, cpu, cuda or cuda:N",
                 "\"" + name + "\"");
  const std::optional<std::string> problem = cuda_unavailable_reason();
  if (problem) {
    if (name == "auto") return c10::Device(c10::kCPU);
    throw Error(ErrorCode::kDeviceUnavailable, "CUDA can't be used: " + *problem, {{"reason", *problem}});
  }
  const int index = numbered ? std::stoi(name.substr(5)) : 0;
  if (index >= device_count()) {
    throw Error(
        ErrorCode::kDeviceUnavailable,
        "There is no device " + name + ": " + std::to_string(device_count()) + " CUDA devices were found");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace albert_ner
