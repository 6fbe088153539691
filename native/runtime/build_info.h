// What the addon was built from: printed by doctor and by every benchmark.
#pragma once

#include <string>

namespace albert_ner::runtime {

struct BuildInfo {
  std::string version;
  std::string compiler;
  std::string commit;
};

BuildInfo build_info();

}  // namespace albert_ner::runtime
