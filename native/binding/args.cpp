#include "binding/args.h"

#include <cmath>

#include "common/check.h"

namespace albert_ner::binding {
namespace {

/// What a value is, for a message.
std::string describe(const Napi::Value& value) {
  if (value.IsNumber() || value.IsBoolean() || value.IsNull() || value.IsUndefined()) {
    return value.ToString().Utf8Value();
  }
  if (value.IsString()) return "a string";
  if (value.IsArray()) return "an array";
  if (value.IsTypedArray()) return "another typed array";
  return value.IsFunction() ? "a function" : "an object";
}

template <typename T>
std::vector<T> to_vector(const Napi::Value& value, const std::string& name, napi_typedarray_type type,
                         const char* expected) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw_invalid(name, expected, describe(value));
  }
  const Napi::TypedArrayOf<T> array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

}  // namespace

Napi::Object to_object(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject() || value.IsArray()) throw_invalid(name, "an object", describe(value));
  return value.As<Napi::Object>();
}

std::string to_string(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) throw_invalid(name, "a string", describe(value));
  return value.As<Napi::String>().Utf8Value();
}

bool to_boolean(const Napi::Value& value, const std::string& name) {
  if (!value.IsBoolean()) throw_invalid(name, "true or false", describe(value));
  return value.As<Napi::Boolean>().Value();
}

double to_double(const Napi::Value& value, const std::string& name) {
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    throw_invalid(name, "a finite number", describe(value));
  }
  return value.As<Napi::Number>().DoubleValue();
}

int64_t to_integer(const Napi::Value& value, const std::string& name) {
  constexpr double kEnd = 9007199254740992.0;  // 2^53
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number < kEnd) || number != std::floor(number)) {
    throw_invalid(name, "an integer in [0, 2^53)", describe(value));
  }
  return static_cast<int64_t>(number);
}

std::vector<int32_t> to_int32_vector(const Napi::Value& value, const std::string& name) {
  return to_vector<int32_t>(value, name, napi_int32_array, "an Int32Array");
}

std::vector<int32_t> to_optional_int32_vector(const Napi::Value& value, const std::string& name) {
  return value.IsUndefined() ? std::vector<int32_t>() : to_int32_vector(value, name);
}

std::vector<uint8_t> to_uint8_vector(const Napi::Value& value, const std::string& name) {
  return to_vector<uint8_t>(value, name, napi_uint8_array, "a Uint8Array");
}

Bytes to_shared_bytes(const Napi::Value& value, const std::string& name) {
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  const bool is_array = value.IsTypedArray() && napi_get_typedarray_info(value.Env(), value, &type, &length,
                                                                         &data, &buffer, nullptr) == napi_ok;
  // Of the two kinds of buffers the shared one is not an ArrayBuffer.
  if (!is_array || type != napi_uint8_array || Napi::Value(value.Env(), buffer).IsArrayBuffer())
    throw_invalid(name, "a Uint8Array on a SharedArrayBuffer", "something else");
  return {static_cast<const char*>(data), length};
}

std::vector<int32_t> to_offsets(const Napi::Value& value, const std::string& name, size_t end) {
  std::vector<int32_t> offsets = to_int32_vector(value, name);
  check_argument(!offsets.empty() && offsets[0] == 0, name, "values that start with 0",
                 offsets.empty() ? std::string("none") : std::to_string(offsets[0]));
  for (size_t b = 1; b < offsets.size(); ++b) {
    check_argument(offsets[b] >= offsets[b - 1], name, "values that never fall", offsets[b]);
  }
  check_argument(static_cast<size_t>(offsets.back()) == end, name, "an end of " + std::to_string(end),
                 offsets.back());
  return offsets;
}

}  // namespace albert_ner::binding
