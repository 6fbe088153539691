#include "runtime/build_info.h"

namespace albert_ner::runtime {

BuildInfo build_info() {
#if defined(__clang__)
  const char* compiler = "clang " __clang_version__;
#else
  const char* compiler = "g++ " __VERSION__;
#endif
  return {ALBERT_NER_VERSION, compiler, ALBERT_NER_COMMIT};
}

}  // namespace albert_ner::runtime
