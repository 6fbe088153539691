// Checks with the house's message form: Expected <what> for <name> but received <value>. For arguments only,
// never for our own invariants.
#pragma once

#include <sstream>
#include <string>

#include "common/error.h"

namespace albert_ner {

[[noreturn]] inline void throw_invalid(const std::string& name, const std::string& expected,
                                       const std::string& received) {
  throw Error(ErrorCode::kInvalidArgument,
              "Expected " + expected + " for " + name + " but received " + received, {{"option", name}});
}

template <typename T>
void check_argument(bool ok, const std::string& name, const std::string& expected, const T& received) {
  if (ok) return;
  std::ostringstream text;
  text << received;
  throw_invalid(name, expected, text.str());
}

}  // namespace albert_ner
