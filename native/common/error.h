// The one C++ exception of the project. lib/errors.ts holds the same closed list of codes; a contract test
// compares the two. Below native/binding nothing but Error (what we detect) and c10::Error (what libtorch
// detects) is thrown.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace albert_ner {

enum class ErrorCode {
  kInvalidArgument,
  kInvalidConfig,
  kInvalidData,
  kCheckpointMismatch,
  kCheckpointUnreadable,
  kModelNotFound,
  kLabelsMismatch,
  kDeviceUnavailable,
  kDisposed,
  kAborted,
  kQueueFull,
  kTextTooLong,
  kOutOfMemory,
  kIo,
  kNativeNotFound,
  kNativeVersion,
  kTorch,
  kInternal,
};

/// The code's public name, "ERR_INVALID_ARGUMENT" and so on.
const char* error_code_name(ErrorCode code);

/// `details` says where and why: file, tensor, reason, byteOffset.
class Error : public std::runtime_error {
 public:
  using Details = std::map<std::string, std::string>;

  Error(ErrorCode code, const std::string& message, Details details = {})
      : std::runtime_error(message), code_(code), details_(std::move(details)) {}

  ErrorCode code() const { return code_; }
  const Details& details() const { return details_; }

 private:
  ErrorCode code_;
  Details details_;
};

}  // namespace albert_ner
