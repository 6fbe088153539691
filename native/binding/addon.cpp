// The module: builds the environment's state and registers what it exports.

#include <napi.h>

#include "binding/environment.h"
#include "binding/errors.h"
#include "binding/op_bridge.h"
#include "binding/session.h"
#include "core/simd/isa.h"
#include "runtime/build_info.h"
#include "torch/support/device.h"
#include "torch/support/torch_build.h"

namespace albert_ner::binding {
namespace {

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const runtime::BuildInfo build = runtime::build_info();
  const TorchBuild torch = torch_build();
  Napi::Object result = Napi::Object::New(env);
  result.Set("version", build.version);
  result.Set("torchCompiled", torch.compiled);
  result.Set("torchLoaded", torch.loaded);
  result.Set("cuda", torch.cuda ? Napi::Value(Napi::String::New(env, *torch.cuda)) : env.Null());
  result.Set("compiler", build.compiler);
  result.Set("commit", build.commit);
  result.Set("instructionSet", core::isa_name(core::active_isa()));
  result.Set("napiVersion", NAPI_VERSION);
  return result;
}

Napi::Value cuda_unavailable_reason(const Napi::CallbackInfo& info) {
  const std::optional<std::string> reason = albert_ner::cuda_unavailable_reason();
  return reason ? Napi::Value(Napi::String::New(info.Env(), *reason)) : info.Env().Null();
}

Napi::Value stop_sessions(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).tear_down();
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  try {
    check_torch_version();
    env.SetInstanceData(new Environment(env));
    exports.Set("buildInfo", Napi::Function::New(env, build_info, "buildInfo"));
    exports.Set("cudaUnavailableReason",
                Napi::Function::New(env, cuda_unavailable_reason, "cudaUnavailableReason"));
    exports.Set("stopSessions", Napi::Function::New(env, stop_sessions, "stopSessions"));
    register_session(env, exports);
    register_op_bridge(env, exports);
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(albert_ner, init)

}  // namespace albert_ner::binding
