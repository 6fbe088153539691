// Checks with the house's message form: Expected <what> for <name> but received <value>. For arguments only,
// never for our own invariants. A check that passes allocates nothing; where `expected` must be put together,
// test first and call throw_invalid.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

#include "common/error.h"

namespace albert_ner {

[[noreturn]] inline void throw_invalid(std::string_view name, std::string_view expected,
                                       std::string_view received) {
  std::string message = "Expected ";
  message.append(expected).append(" for ").append(name).append(" but received ").append(received);
  throw Error(ErrorCode::kInvalidArgument, message, {{"option", std::string(name)}});
}

template <typename T>
void check_argument(bool ok, std::string_view name, std::string_view expected, const T& received) {
  if (ok) return;
  std::ostringstream text;
  text << received;
  throw_invalid(name, expected, text.str());
}

}  // namespace albert_ner
