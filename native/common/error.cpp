// The public names of the error codes; nothing else needs a source file.
#include "common/error.h"

namespace albert_ner {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "ERR_INVALID_ARGUMENT";
    case ErrorCode::kInvalidConfig:
      return "ERR_INVALID_CONFIG";
    case ErrorCode::kInvalidData:
      return "ERR_INVALID_DATA";
    case ErrorCode::kCheckpointMismatch:
      return "ERR_CHECKPOINT_MISMATCH";
    case ErrorCode::kCheckpointUnreadable:
      return "ERR_CHECKPOINT_UNREADABLE";
    case ErrorCode::kModelNotFound:
      return "ERR_MODEL_NOT_FOUND";
    case ErrorCode::kLabelsMismatch:
      return "ERR_LABELS_MISMATCH";
    case ErrorCode::kDeviceUnavailable:
      return "ERR_DEVICE_UNAVAILABLE";
    case ErrorCode::kDisposed:
      return "ERR_DISPOSED";
    case ErrorCode::kAborted:
      return "ERR_ABORTED";
    case ErrorCode::kQueueFull:
      return "ERR_QUEUE_FULL";
    case ErrorCode::kTextTooLong:
      return "ERR_TEXT_TOO_LONG";
    case ErrorCode::kOutOfMemory:
      return "ERR_OUT_OF_MEMORY";
    case ErrorCode::kIo:
      return "ERR_IO";
    case ErrorCode::kNativeNotFound:
      return "ERR_NATIVE_NOT_FOUND";
    case ErrorCode::kNativeVersion:
      return "ERR_NATIVE_VERSION";
    case ErrorCode::kTorch:
      return "ERR_TORCH";
    case ErrorCode::kInternal:
      return "ERR_INTERNAL";
  }
  return "ERR_INTERNAL";
}

}  // namespace albert_ner
