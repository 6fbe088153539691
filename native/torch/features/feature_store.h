// Features of many sequences, packed, half precision, in one memory-mapped file. Everything that reads or
// writes them goes through this class, so that the format can change behind it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace albert_ner::features {

/// Rows of a pack, with the units they are of; units and offsets are on the CPU.
struct PackedFeatures {
  at::Tensor rows;           // [N, D] float32, or float16 as stored; on any device
  std::vector<int32_t> ids;  // [N]
  at::Tensor offsets;        // [B+1] int32
};

/// Not thread-safe: used on its session's thread only.
class FeatureStore {
 public:
  /// Creates the file, which must not exist, and takes its name away at once: no crash can leave it behind.
  explicit FeatureStore(const std::string& path);
  ~FeatureStore();
  FeatureStore(const FeatureStore&) = delete;
  FeatureStore& operator=(const FeatureStore&) = delete;

  /// Appends the sequences of a pack. float16 keeps 11 bits, far below the noise of training. Throws
  /// kInternal when the disk is full.
  void append(const PackedFeatures& pack);

  /// The sequences, in the order asked for, on the CPU, their rows as stored. Throws kInvalidArgument for a
  /// number that isn't in the store.
  PackedFeatures gather(const std::vector<int64_t>& sequences);

  int64_t sequence_count() const { return static_cast<int64_t>(first_row_.size()) - 1; }
  int64_t row_count() const { return first_row_.back(); }
  int64_t length(int64_t sequence) const { return first_row_[sequence + 1] - first_row_[sequence]; }

  /// Frees file and mapping; later calls throw kDisposed. Idempotent.
  void close();

 private:
  void check_open() const;
  const at::Half* mapped_rows();

  int fd_ = -1;
  int64_t width_ = 0;
  std::vector<int64_t> first_row_ = {0};
  std::vector<int32_t> ids_;  // of all rows
  void* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
};

}  // namespace albert_ner::features
