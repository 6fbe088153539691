#include "model/checkpoint.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <cstring>
#include <map>

#include "common/error.h"

namespace albert_ner::model {
namespace {

[[noreturn]] void throw_unreadable(const std::string& file, const std::string& reason,
                                   const std::string& what, Error::Details details = {}) {
  details["file"] = file;
  details["reason"] = reason;
  throw Error(ErrorCode::kCheckpointUnreadable, "Can't read " + file + ": " + what, std::move(details));
}

at::ScalarType scalar_type(const TensorEntry& entry, const std::string& file) {
  if (entry.dtype == "F32") return at::kFloat;
  if (entry.dtype == "F16") return at::kHalf;
  if (entry.dtype == "BF16") return at::kBFloat16;
  if (entry.dtype == "F64") return at::kDouble;
  if (entry.dtype == "I8") return at::kChar;
  throw_unreadable(file, "E_DTYPE", "tensor " + entry.name + " is " + entry.dtype + ", not a floating type",
                   {{"tensor", entry.name}});
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

/// The range must hold exactly the shape's bytes and lie inside the file; all arithmetic checked.
void check_range(const TensorEntry& entry, at::ScalarType type, const TensorFile& file) {
  uint64_t bytes = c10::elementSize(type);
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

void check_finite(const at::Tensor& values, const TensorEntry& entry, const std::string& file) {
  if (at::isfinite(values).all().item<bool>()) return;
  throw_unreadable(file, "E_NONFINITE", "tensor " + entry.name + " holds NaN or infinity",
                   {{"tensor", entry.name}, {"byteOffset", std::to_string(entry.begin)}});
}

/// The stored values as float32, int8 ones without their scales.
at::Tensor read_stored(const TensorEntry& entry, const TensorFile& file) {
  const at::ScalarType type = scalar_type(entry, file.path);
  check_range(entry, type, file);
  at::Tensor stored = at::empty(entry.shape, type);
  if (entry.end > entry.begin)
    std::memcpy(stored.mutable_data_ptr(), file.bytes + entry.begin, entry.end - entry.begin);
  at::Tensor values = stored.to(at::kFloat);
  check_finite(values, entry, file.path);
  return values;
}

bool is_scaled(const TensorEntry& entry) {
  return entry.dtype == "I8";
}

/// The scales of an int8 tensor, which say what a step is and so are no integers themselves.
at::Tensor read_scales(const TensorEntry& entry, const TensorFile& file) {
  if (is_scaled(entry)) {
    throw_unreadable(file.path, "E_DTYPE", "the scales " + entry.name + " are " + entry.dtype,
                     {{"tensor", entry.name}});
  }
  return read_stored(entry, file);
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

/// A wanted tensor's entry, and that of its scales when it is int8.
struct Source {
  const TensorEntry* values = nullptr;
  const TensorEntry* scales = nullptr;
};

std::vector<Source> find_sources(const TensorFile& file, const std::vector<NameAndShape>& wanted) {
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
  std::vector<Source> sources;
  for (const auto& [name, shape] : wanted) {
    Source source{take(name, shape)};
    if (source.values != nullptr && is_scaled(*source.values) && !shape.empty())
      source.scales = take(name + kScaleSuffix, {shape.front()});
    sources.push_back(source);
  }
  for (const auto& entry : unused) mismatch.extra.push_back(entry.first);
  mismatch.check(file.path);
  return sources;
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> read_tensors(const TensorFile& file,
                                                             const std::vector<NameAndShape>& wanted) {
  const std::vector<Source> sources = find_sources(file, wanted);
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t k = 0; k < wanted.size(); ++k) {
    at::Tensor values = read_stored(*sources[k].values, file);
    if (sources[k].scales != nullptr) {
      std::vector<int64_t> per_row(wanted[k].second.size(), 1);  // [rows, 1, ...]
      per_row.front() = wanted[k].second.front();
      values.mul_(read_scales(*sources[k].scales, file).view(per_row));
      check_finite(values, *sources[k].values, file.path);  // finite factors can overflow
    }
    tensors.emplace_back(wanted[k].first, values);
  }
  return tensors;
}

}  // namespace albert_ner::model
