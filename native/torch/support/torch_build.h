// The libtorch the addon was built against, and the one it runs on.
#pragma once

#include <optional>
#include <string>

namespace albert_ner {

struct TorchBuild {
  std::string compiled;
  std::string loaded;
  std::optional<std::string> cuda;
};

TorchBuild torch_build();

/// Throws kNativeVersion when the loaded libtorch has another major or minor version than the one compiled
/// against, unless ALBERT_NER_SKIP_TORCH_VERSION_CHECK=1: its C++ interface then may differ in ways that only
/// show as crashes.
void check_torch_version();

}  // namespace albert_ner
