// `_callOp` and `_timeOp` of tests and benchmarks: any registered operator from JavaScript, with gradients.
#pragma once

#include <napi.h>

namespace albert_ner::binding {

void register_op_bridge(Napi::Env env, Napi::Object exports);

}  // namespace albert_ner::binding
