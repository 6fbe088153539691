#include "engine/tensor_file.h"

#include <cmath>
#include <cstring>
#include <map>

#include "common/error.h"
#include "engine/half.h"

namespace albert_ner::engine {
namespace {

[[noreturn]] void throw_unreadable(const std::string& file, const std::string& reason,
                                   const std::string& what, Error::Details details = {}) {
  details["file"] = file;
  details["reason"] = reason;
  throw Error(ErrorCode::kCheckpointUnreadable, "Can't read " + file + ": " + what, std::move(details));
}

/// Bytes of an element.
uint64_t element_size(const TensorEntry& entry, const std::string& file) {
  if (entry.dtype == "F64") return 8;
  if (entry.dtype == "F32") return 4;
  if (entry.dtype == "F16" || entry.dtype == "BF16") return 2;
  if (entry.dtype == "I8") return 1;
  throw_unreadable(file, "E_DTYPE", "tensor " + entry.name + " is " + entry.dtype + ", not a floating type",
                   {{"tensor", entry.name}});
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

/// The range must hold exactly the shape's bytes and lie inside the file; all arithmetic checked.
void check_range(const TensorEntry& entry, const TensorFile& file) {
  uint64_t bytes = element_size(entry, file.path);
  bool sound = entry.begin <= entry.end && entry.shape.size() <= 8;
  for (int64_t size : entry.shape) {
    sound = sound && size >= 0 && !__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
  }
  if (!sound || entry.end - entry.begin != bytes) {
    throw_unreadable(file.path, "E_TENSOR_BOUNDS", "the bytes of " + entry.name + " don't match its shape",
                     {{"tensor", entry.name}, {"byteOffset", std::to_string(entry.begin)}});
  }
  if (entry.end > file.size) {
    throw_unreadable(file.path, "E_TRUNCATED",
                     entry.name + " ends at byte " + std::to_string(entry.end) + " but the file has " +
                         std::to_string(file.size),
                     {{"tensor", entry.name}, {"byteOffset", std::to_string(file.size)}});
  }
}

void check_finite(const float* values, int64_t count, const TensorEntry& entry, const std::string& file) {
  bool finite = true;
  for (int64_t k = 0; k < count; ++k) finite = finite && std::isfinite(values[k]);
  if (finite) return;
  throw_unreadable(file, "E_NONFINITE", "tensor " + entry.name + " holds NaN or infinity",
                   {{"tensor", entry.name}, {"byteOffset", std::to_string(entry.begin)}});
}

/// values[k] = widen(element k); the bytes lie anywhere.
template <typename Stored, typename Widen>
void widen_all(const char* bytes, int64_t count, float* values, Widen widen) {
  for (int64_t k = 0; k < count; ++k) {
    Stored stored;
    std::memcpy(&stored, bytes + static_cast<uint64_t>(k) * sizeof(Stored), sizeof(Stored));
    values[k] = widen(stored);
  }
}

bool is_scaled(const TensorEntry& entry) {
  return entry.dtype == "I8";
}

/// Up to five names, for a message.
std::string first_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t k = 0; k < names.size() && k < 5; ++k) text += (k == 0 ? "" : ", ") + names[k];
  if (names.size() > 5) text += " and " + std::to_string(names.size() - 5) + " more";
  return text;
}

/// What is wrong with the entries for a model that wants these tensors, by kind.
struct Mismatch {
  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  std::vector<std::string> extra;

  void check(const std::string& file) const {
    if (missing.empty() && misshapen.empty() && extra.empty()) return;
    std::string message = file + " doesn't fit the model:";
    if (!missing.empty()) message += " missing " + first_names(missing) + ";";
    if (!extra.empty()) message += " unexpected " + first_names(extra) + ";";
    if (!misshapen.empty()) message += " shapes " + first_names(misshapen) + ";";
    message.pop_back();
    throw Error(ErrorCode::kCheckpointMismatch, message, {{"file", file}});
  }
};

}  // namespace

TensorReader::TensorReader(const TensorFile& file, const std::vector<NameAndShape>& wanted) : file_(file) {
  std::map<std::string, const TensorEntry*> unused;
  for (const TensorEntry& entry : file.entries) unused[entry.name] = &entry;
  Mismatch mismatch;
  auto take = [&](const std::string& name, const std::vector<int64_t>& shape) -> const TensorEntry* {
    const auto found = unused.find(name);
    if (found == unused.end()) {
      mismatch.missing.push_back(name);
      return nullptr;
    }
    const TensorEntry* entry = found->second;
    if (entry->shape != shape) {
      mismatch.misshapen.push_back(name + " " + shape_text(entry->shape) + " instead of " +
                                   shape_text(shape));
    }
    unused.erase(found);
    return entry;
  };
  for (const auto& [name, shape] : wanted) {
    Source source{take(name, shape), nullptr};
    if (source.values != nullptr && is_scaled(*source.values) && !shape.empty())
      source.scales = take(name + kScaleSuffix, {shape.front()});
    sources_.push_back(source);
  }
  for (const auto& entry : unused) mismatch.extra.push_back(entry.first);
  mismatch.check(file.path);
}

int64_t TensorReader::count(size_t place) const {
  const TensorEntry& entry = *sources_[place].values;
  check_range(entry, file_);
  return element_count(entry.shape);
}

void TensorReader::read_stored(const TensorEntry& entry, float* values) const {
  check_range(entry, file_);
  const int64_t count = element_count(entry.shape);
  const char* bytes = file_.bytes + entry.begin;
  if (entry.dtype == "F32") {
    if (count > 0) std::memcpy(values, bytes, entry.end - entry.begin);
  } else if (entry.dtype == "F16") {
    widen_all<uint16_t>(bytes, count, values, float_of_half);
  } else if (entry.dtype == "BF16") {
    widen_all<uint16_t>(bytes, count, values, float_of_bfloat16);
  } else if (entry.dtype == "F64") {
    widen_all<double>(bytes, count, values, [](double value) { return static_cast<float>(value); });
  } else {
    widen_all<int8_t>(bytes, count, values, [](int8_t value) { return static_cast<float>(value); });
  }
  check_finite(values, count, entry, file_.path);
}

void TensorReader::read(size_t place, float* values) const {
  const Source& source = sources_[place];
  read_stored(*source.values, values);
  if (source.scales == nullptr) return;
  const TensorEntry& entry = *source.scales;
  if (is_scaled(entry)) {
    // Scales say what a step is and so are no integers themselves.
    throw_unreadable(file_.path, "E_DTYPE", "the scales " + entry.name + " are " + entry.dtype,
                     {{"tensor", entry.name}});
  }
  const int64_t rows = element_count(entry.shape);
  std::vector<float> scales(static_cast<size_t>(rows));
  read_stored(entry, scales.data());
  const int64_t count = element_count(source.values->shape);
  const int64_t width = rows == 0 ? 0 : count / rows;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = row * width; k < (row + 1) * width; ++k) values[k] *= scales[static_cast<size_t>(row)];
  }
  check_finite(values, count, *source.values, file_.path);  // finite factors can overflow
}

}  // namespace albert_ner::engine
