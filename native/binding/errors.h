// The one place where C++ exceptions become JavaScript errors.
#pragma once

#include <napi.h>

#include <exception>

namespace albert_ner::binding {

/// An Error with `code` of the closed list and `details`, an object of strings. albert_ner::Error keeps its
/// code, exhausted memory becomes ERR_OUT_OF_MEMORY, libtorch's exceptions ERR_TORCH, anything else
/// ERR_INTERNAL.
Napi::Error to_js_error(Napi::Env env, std::exception_ptr exception);

}  // namespace albert_ner::binding
