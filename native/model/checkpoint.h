// Tensors from the bytes of safetensors files. TypeScript reads the file, once, and parses the header (one
// strict parser, in a memory-safe language); here every range is checked again before it is read, since
// callers can lie. No file is opened here: what was hashed is what is loaded.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace albert_ner::model {

struct TensorEntry {
  std::string name;
  std::string dtype;  // F16, BF16, F32, F64, or I8 with scales
  std::vector<int64_t> shape;
  uint64_t begin;  // bytes from the start of the file
  uint64_t end;
};

/// A file in memory; the bytes are the caller's.
struct TensorFile {
  std::string path;  // for messages
  const char* bytes = nullptr;
  uint64_t size = 0;
  std::vector<TensorEntry> entries;
};

using NameAndShape = std::pair<std::string, std::vector<int64_t>>;

/// What the scales of an int8 tensor are called after the tensor's own name: one factor per row, [rows].
constexpr const char* kScaleSuffix = ".scale";

/// Copies the wanted tensors, converted to float32, in the order wanted; int8 ones times their scales.
///
/// Throws kCheckpointMismatch, naming the first five, when entries are missing, unexpected or of another
/// shape; kCheckpointUnreadable with details.reason E_TRUNCATED, E_TENSOR_BOUNDS, E_DTYPE or E_NONFINITE.
std::vector<std::pair<std::string, at::Tensor>> read_tensors(const TensorFile& file,
                                                             const std::vector<NameAndShape>& wanted);

}  // namespace albert_ner::model
