#include "torch/features/feature_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/check.h"

namespace albert_ner::features {
namespace {

[[noreturn]] void throw_io(const std::string& what) {
  throw Error(ErrorCode::kIo, what + ": " + std::strerror(errno), {{"reason", "E_IO"}});
}

void write_all(int fd, const char* data, size_t size, off_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(fd, data, size, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw_io("Can't write the features; is the disk full?");
    data += written;
    size -= static_cast<size_t>(written);
    offset += written;
  }
}

}  // namespace

FeatureStore::FeatureStore(const std::string& path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) throw_io("Can't create " + path);
  ::unlink(path.c_str());
}

FeatureStore::~FeatureStore() {
  close();
}

void FeatureStore::close() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
  mapping_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void FeatureStore::check_open() const {
  if (fd_ < 0) throw Error(ErrorCode::kDisposed, "The feature store was closed");
}

void FeatureStore::append(const PackedFeatures& pack) {
  check_open();
  const at::Tensor& rows = pack.rows;
  check_argument(width_ == 0 || rows.size(1) == width_, "features", "width " + std::to_string(width_),
                 rows.size(1));
  width_ = rows.size(1);
  const at::Tensor halves = rows.to(at::kHalf).cpu().contiguous();  // [n, D]
  write_all(fd_, static_cast<const char*>(halves.const_data_ptr()), halves.nbytes(),
            static_cast<off_t>(row_count() * width_ * static_cast<int64_t>(sizeof(at::Half))));
  ids_.insert(ids_.end(), pack.ids.begin(), pack.ids.end());
  const int32_t* offsets = pack.offsets.const_data_ptr<int32_t>();
  for (int64_t b = 1; b < pack.offsets.numel(); ++b) {
    first_row_.push_back(first_row_.back() + offsets[b] - offsets[b - 1]);
  }
}

const at::Half* FeatureStore::mapped_rows() {
  const size_t bytes = static_cast<size_t>(row_count() * width_) * sizeof(at::Half);
  if (bytes != mapped_bytes_) {
    if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
    mapping_ = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_, 0);
    if (mapping_ == MAP_FAILED) {
      mapping_ = nullptr;
      mapped_bytes_ = 0;
      throw_io("Can't map the features");
    }
    mapped_bytes_ = bytes;
  }
  return static_cast<const at::Half*>(mapping_);
}

PackedFeatures FeatureStore::gather(const std::vector<int64_t>& sequences) {
  check_open();
  PackedFeatures packed;
  packed.offsets = at::empty({static_cast<int64_t>(sequences.size()) + 1}, at::kInt);
  int32_t* offsets = packed.offsets.mutable_data_ptr<int32_t>();
  offsets[0] = 0;
  for (size_t b = 0; b < sequences.size(); ++b) {
    check_argument(sequences[b] >= 0 && sequences[b] < sequence_count(), "sequences",
                   "numbers in [0, " + std::to_string(sequence_count()) + ")", sequences[b]);
    offsets[b + 1] = offsets[b] + static_cast<int32_t>(length(sequences[b]));
  }
  packed.rows = at::empty({offsets[sequences.size()], width_}, at::kHalf);  // [N, D]
  if (packed.rows.numel() > 0) {
    const at::Half* rows = mapped_rows();
    at::Half* out = packed.rows.mutable_data_ptr<at::Half>();
    for (size_t b = 0; b < sequences.size(); ++b) {
      const int64_t count = length(sequences[b]) * width_;
      std::memcpy(out + static_cast<int64_t>(offsets[b]) * width_, rows + first_row_[sequences[b]] * width_,
                  static_cast<size_t>(count) * sizeof(at::Half));
    }
  }
  for (int64_t sequence : sequences) {
    packed.ids.insert(packed.ids.end(), ids_.begin() + first_row_[sequence],
                      ids_.begin() + first_row_[sequence + 1]);
  }
  return packed;
}

}  // namespace albert_ner::features
