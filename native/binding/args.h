// Typed reading of JavaScript arguments, copied into C++ values. TypeScript checks its callers; these checks
// stand because callers can lie.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace albert_ner::binding {

Napi::Object to_object(const Napi::Value& value, const std::string& name);
std::string to_string(const Napi::Value& value, const std::string& name);
bool to_boolean(const Napi::Value& value, const std::string& name);
double to_double(const Napi::Value& value, const std::string& name);
/// An integer in [0, 2^53).
int64_t to_integer(const Napi::Value& value, const std::string& name);
std::vector<int32_t> to_int32_vector(const Napi::Value& value, const std::string& name);
/// Empty when the value is undefined.
std::vector<int32_t> to_optional_int32_vector(const Napi::Value& value, const std::string& name);
/// Memory of a typed array.
struct Bytes {
  const char* data = nullptr;
  uint64_t size = 0;
};
/// The bytes of a Uint8Array on shared memory, not copied: no JavaScript can take it away or shorten it while a
/// thread reads it and the array lives.
Bytes to_shared_bytes(const Napi::Value& value, const std::string& name);
std::vector<uint8_t> to_uint8_vector(const Napi::Value& value, const std::string& name);
/// Packed offsets: starts at 0, never falls, ends at `end`.
std::vector<int32_t> to_offsets(const Napi::Value& value, const std::string& name, size_t end);

/// Copies values into a new typed array of the kind T asks for.
template <typename Array, typename T>
Array to_typed_array(Napi::Env env, const T* values, size_t count) {
  Array array = Array::New(env, count);
  std::copy(values, values + count, array.Data());
  return array;
}

}  // namespace albert_ner::binding
