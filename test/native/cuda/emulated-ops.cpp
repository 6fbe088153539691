// The frame of a library with emulated CUDA kernels: gives each the schema of the operator it stands for, and
// is a Node addon in name, so that a process can load it beside the real one.

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <string>

#include "emulator.h"

namespace {

void set_thread_order(int64_t order) {
  cuda_emulator::set_order(static_cast<cuda_emulator::Order>(order));
}

/// The private operators of the addon, which is loaded by then, under the name of the emulated ones.
TORCH_LIBRARY_FRAGMENT(albert_ner_emulated, m) {
  c10::Dispatcher& dispatcher = c10::Dispatcher::singleton();
  const std::string prefix = "albert_ner::_";
  for (const c10::OperatorName& op : dispatcher.getAllOpNames()) {
    if (op.name.rfind(prefix, 0) != 0) continue;
    const std::string emulated = "albert_ner_emulated::_" + op.name.substr(prefix.size());
    const c10::OperatorHandle original =
        dispatcher.findSchemaOrThrow(op.name.c_str(), op.overload_name.c_str());
    m.def(original.schema().cloneWithName(emulated, op.overload_name));
  }
  m.def("set_thread_order(int order) -> ()", set_thread_order);
}

}  // namespace

/// What Node looks for in an addon.
extern "C" void* napi_register_module_v1(void*, void* exports) {
  return exports;
}
