#include "torch/support/torch_build.h"

#include <ATen/Version.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstdlib>
#include <regex>

#include "common/error.h"
#include "torch/support/torch_version.h"

namespace albert_ner {
namespace {

/// The version is the three highest bytes of the ABI number.
std::string loaded_torch_version() {
  const uint64_t number = aoti_torch_abi_version();
  auto byte = [&](int shift) { return std::to_string((number >> shift) & 0xff); };
  return byte(56) + "." + byte(48) + "." + byte(40);
}

/// "CUDA 13.0" in libtorch's description of itself.
std::optional<std::string> cuda_version() {
  std::smatch match;
  const std::string config = at::show_config();
  if (std::regex_search(config, match, std::regex("CUDA_VERSION=([0-9.]+)"))) return match[1].str();
  if (std::regex_search(config, match, std::regex("CUDA Runtime ([0-9.]+)"))) return match[1].str();
  return std::nullopt;
}

}  // namespace

TorchBuild torch_build() {
  return {TORCH_VERSION, loaded_torch_version(), cuda_version()};
}

void check_torch_version() {
  const char* skip = std::getenv("ALBERT_NER_SKIP_TORCH_VERSION_CHECK");
  if (skip != nullptr && std::string(skip) == "1") return;
  const std::string compiled =
      std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR) + ".";
  const std::string loaded = loaded_torch_version();
  if (loaded.rfind(compiled, 0) == 0) return;
  throw Error(ErrorCode::kNativeVersion, "The addon was built against libtorch " TORCH_VERSION
                                         " but libtorch " +
                                             loaded + " was loaded; run the set-up again");
}

}  // namespace albert_ner
