// Tensors from safetensors files. TypeScript parses the header (one strict parser, in a memory-safe language)
// and hands over ranges; here every range is checked again before it is read, since callers can lie.
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

struct TensorFile {
  std::string path;
  std::vector<TensorEntry> entries;
};

using NameAndShape = std::pair<std::string, std::vector<int64_t>>;

/// What the scales of an int8 tensor are called after the tensor's own name: one factor per row, [rows].
constexpr const char* kScaleSuffix = ".scale";

/// Reads the wanted tensors, converted to float32, in the order wanted; int8 ones times their scales. The
/// file is mapped while it is read and the values are copied: a file that changes or shrinks later can't
/// disturb a loaded model.
///
/// Throws kCheckpointMismatch, naming the first five, when entries are missing, unexpected or of another
/// shape; kCheckpointUnreadable with details.reason E_TRUNCATED, E_TENSOR_BOUNDS, E_NONFINITE or E_IO.
std::vector<std::pair<std::string, at::Tensor>> read_tensors(const TensorFile& file,
                                                             const std::vector<NameAndShape>& wanted);

}  // namespace albert_ner::model
