// JavaScript objects that own a C++ object. A type tag proves what an object holds before it is unwrapped, so
// a method called on a foreign object is an error and not a crash.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "common/check.h"

namespace albert_ner::binding {

/// T needs `static constexpr napi_type_tag kTypeTag` and `static constexpr const char* kName`.
template <typename T>
void wrap(Napi::Object object, std::unique_ptr<T> content) {
  object.TypeTag(&T::kTypeTag);
  T* raw = content.release();
  const napi_status status = napi_wrap(
      object.Env(), object, raw, [](napi_env, void* data, void*) { delete static_cast<T*>(data); }, nullptr,
      nullptr);
  if (status != napi_ok) {
    delete raw;
    throw Error(ErrorCode::kInternal, std::string("Can't create a ") + T::kName);
  }
}

template <typename T>
T& unwrap(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTypeTag)) {
    throw_invalid(name, std::string("a ") + T::kName, "something else");
  }
  void* content = nullptr;
  if (napi_unwrap(value.Env(), value, &content) != napi_ok) {
    throw_invalid(name, std::string("a ") + T::kName, "an empty one");
  }
  return *static_cast<T*>(content);
}

}  // namespace albert_ner::binding
