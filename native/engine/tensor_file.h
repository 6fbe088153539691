// Tensors from the bytes of safetensors files. TypeScript reads the file, once, and parses the header (one
// strict parser, in a memory-safe language); here every range is checked again before it is read, since
// callers can lie. No file is opened here: what was hashed is what is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace albert_ner::engine {

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

/// Tensors of a file by what is wanted of it.
///
/// Throws kCheckpointMismatch, naming the first five, when entries are missing, unexpected or of another
/// shape; kCheckpointUnreadable with details.reason E_TRUNCATED, E_TENSOR_BOUNDS, E_DTYPE or E_NONFINITE.
class TensorReader {
 public:
  /// Finds the wanted tensors. `file` must outlive the reader.
  TensorReader(const TensorFile& file, const std::vector<NameAndShape>& wanted);

  /// Elements of the wanted tensor of this place.
  int64_t count(size_t place) const;
  /// Copies it, converted to float32; an int8 one times its scales.
  void read(size_t place, float* values) const;

 private:
  /// A wanted tensor's entry, and that of its scales when it is int8.
  struct Source {
    const TensorEntry* values = nullptr;
    const TensorEntry* scales = nullptr;
  };

  /// The stored values, int8 ones without their scales.
  void read_stored(const TensorEntry& entry, float* values) const;

  const TensorFile& file_;
  std::vector<Source> sources_;
};

}  // namespace albert_ner::engine
