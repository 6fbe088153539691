// What the addon was built from and what it runs on: printed by doctor and by every benchmark.
#pragma once

#include <optional>
#include <string>

namespace albert_ner::runtime {

struct BuildInfo {
  std::string version;
  std::string torch_compiled;
  std::string torch_loaded;
  std::optional<std::string> cuda;
  std::string compiler;
  std::string commit;
};

BuildInfo build_info();

/// Throws kNativeVersion when the loaded libtorch has another major or minor version than the one compiled
/// against, unless ALBERT_NER_SKIP_TORCH_VERSION_CHECK=1: its C++ interface then may differ in ways that only
/// show as crashes.
void check_torch_version();

}  // namespace albert_ner::runtime
