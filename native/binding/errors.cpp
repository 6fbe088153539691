// Implements the translation; every exception type is named here and nowhere else in the binding.
#include "binding/errors.h"

#include <c10/util/Exception.h>

#include <new>
#include <system_error>

#include "common/error.h"

namespace albert_ner::binding {
namespace {

Napi::Error make(Napi::Env env, ErrorCode code, const std::string& message, const Error::Details& details) {
  Napi::Error error = Napi::Error::New(env, message);
  Napi::Object value = error.Value();
  value.Set("code", error_code_name(code));
  Napi::Object place = Napi::Object::New(env);
  for (const auto& [key, text] : details) place.Set(key, text);
  value.Set("details", place);
  return error;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

/// libtorch's CPU allocator reports exhausted memory as a plain c10::Error: only the text tells.
bool is_out_of_memory(const std::string& text) {
  return text.find("DefaultCPUAllocator: can't allocate memory") != std::string::npos ||
         text.find("DefaultCPUAllocator: not enough memory") != std::string::npos;
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const Error& error) {
    return make(env, error.code(), error.what(), error.details());
  } catch (const c10::OutOfMemoryError& error) {
    return make(env, ErrorCode::kOutOfMemory, first_line(error.what_without_backtrace()), {});
  } catch (const std::bad_alloc&) {
    return make(env, ErrorCode::kOutOfMemory, "Out of memory", {});
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (is_out_of_memory(text)) return make(env, ErrorCode::kOutOfMemory, first_line(text), {});
    return make(env, ErrorCode::kTorch, first_line(text), {{"torch", text}});
  } catch (const std::system_error& error) {
    return make(env, ErrorCode::kIo, error.what(), {});  // no thread, no file
  } catch (const std::exception& error) {
    return make(env, ErrorCode::kInternal, error.what(), {});
  } catch (...) {
    return make(env, ErrorCode::kInternal, "Unknown exception", {});
  }
}

}  // namespace albert_ner::binding
