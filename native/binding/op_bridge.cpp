// Boxed calls by name: arguments follow the schema of the operator, so no operator needs code of its own
// here.
#include "binding/op_bridge.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/promise_task.h"
#include "common/check.h"
#include "runtime/cpu_quota.h"
#include "runtime/flush_subnormals.h"

namespace albert_ner::binding {
namespace {

struct DtypeName {
  at::ScalarType dtype;
  const char* name;
  napi_typedarray_type array;
};

constexpr DtypeName kDtypes[] = {
    {at::kFloat, "float32", napi_float32_array},    {at::kDouble, "float64", napi_float64_array},
    {at::kInt, "int32", napi_int32_array},          {at::kLong, "int64", napi_bigint64_array},
    {at::kBool, "bool", napi_uint8_array},          {at::kHalf, "float16", napi_uint16_array},
    {at::kBFloat16, "bfloat16", napi_uint16_array},
};

at::Tensor to_tensor(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "tensor");
  const std::string dtype = to_string(object.Get("dtype"), "dtype");
  const Napi::Value data = object.Get("data");
  for (const DtypeName& known : kDtypes) {
    if (dtype != known.name) continue;
    if (!data.IsTypedArray() || data.As<Napi::TypedArray>().TypedArrayType() != known.array) break;
    std::vector<int64_t> shape;
    const Napi::Array sizes = object.Get("shape").As<Napi::Array>();
    for (uint32_t dim = 0; dim < sizes.Length(); ++dim) shape.push_back(to_integer(sizes.Get(dim), "shape"));
    at::Tensor tensor = at::empty(shape, known.dtype);
    const Napi::TypedArray array = data.As<Napi::TypedArray>();
    check_argument(array.ByteLength() == tensor.nbytes(), "data", std::to_string(tensor.nbytes()) + " bytes",
                   array.ByteLength());
    if (tensor.nbytes() > 0) {
      const char* bytes = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
      std::memcpy(tensor.mutable_data_ptr(), bytes, tensor.nbytes());
    }
    return tensor;
  }
  throw_invalid("tensor", "data that fits its dtype", dtype);
}

Napi::Value from_tensor(Napi::Env env, const at::Tensor& tensor) {
  if (!tensor.defined()) return env.Null();
  const at::Tensor plain = tensor.detach().contiguous().cpu();
  for (const DtypeName& known : kDtypes) {
    if (plain.scalar_type() != known.dtype) continue;
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, plain.nbytes());
    if (plain.nbytes() > 0) std::memcpy(buffer.Data(), plain.const_data_ptr(), plain.nbytes());
    napi_value array = nullptr;
    napi_create_typedarray(env, known.array, plain.numel(), buffer, 0, &array);
    Napi::Array shape = Napi::Array::New(env);
    for (int64_t dim = 0; dim < plain.dim(); ++dim) shape.Set(static_cast<uint32_t>(dim), plain.size(dim));
    Napi::Object object = Napi::Object::New(env);
    object.Set("dtype", known.name);
    object.Set("shape", shape);
    object.Set("data", array);
    return object;
  }
  throw_invalid("output", "a dtype JavaScript has", c10::toString(plain.scalar_type()));
}

int64_t to_whole(const Napi::Value& value) {
  const double number = to_double(value, "argument");
  check_argument(number == std::trunc(number), "argument", "an integer", number);
  return static_cast<int64_t>(number);
}

/// Reads an argument as its schema wants it and collects the floating tensors that may get gradients.
c10::IValue to_ivalue(const Napi::Value& value, const c10::TypePtr& type, bool with_grad,
                      std::vector<at::Tensor>& inputs) {
  auto input = [&](const Napi::Value& js) {
    at::Tensor tensor = to_tensor(js);
    const Napi::Value constant = js.As<Napi::Object>().Get("constant");
    if (tensor.is_floating_point() && !constant.ToBoolean().Value()) {
      tensor.requires_grad_(with_grad);
      inputs.push_back(tensor);
    }
    return tensor;
  };
  if (value.IsNull() || value.IsUndefined()) return {};
  if (value.IsArray()) {
    const Napi::Array array = value.As<Napi::Array>();
    if (type->containedTypeSize() == 1 && type->containedType(0)->kind() == c10::TypeKind::IntType) {
      c10::List<int64_t> integers;
      for (uint32_t k = 0; k < array.Length(); ++k) integers.push_back(to_whole(array.Get(k)));
      return integers;
    }
    c10::List<at::Tensor> list;
    for (uint32_t k = 0; k < array.Length(); ++k) list.push_back(input(array.Get(k)));
    return list;
  }
  if (value.IsObject()) return input(value);
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  const auto optional = type->cast<c10::OptionalType>();
  const c10::TypePtr& wanted = optional ? optional->getElementType() : type;
  if (wanted->kind() == c10::TypeKind::IntType) return to_whole(value);
  return to_double(value, "argument");
}

void collect(const c10::IValue& value, std::vector<at::Tensor>& outputs) {
  if (value.isTensor()) {
    outputs.push_back(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) outputs.push_back(tensor);
  }
}

Napi::Array from_tensors(Napi::Env env, const std::vector<at::Tensor>& tensors) {
  Napi::Array array = Napi::Array::New(env);
  for (size_t k = 0; k < tensors.size(); ++k)
    array.Set(static_cast<uint32_t>(k), from_tensor(env, tensors[k]));
  return array;
}

struct OpCall {
  c10::OperatorHandle op;
  torch::jit::Stack arguments;
  bool with_grad;
  std::vector<at::Tensor> inputs;  // that get gradients
  std::vector<at::Tensor> seeds;   // gradients of the outputs, undefined where one isn't used
};

struct OpResults {
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> gradients;
};

OpCall to_op_call(const Napi::CallbackInfo& info) {
  const std::string name = to_string(info[0], "name");
  if (!info[1].IsArray()) throw_invalid("args", "an array", "something else");
  const Napi::Array args = info[1].As<Napi::Array>();
  const size_t dot = name.find('.');
  OpCall call{c10::Dispatcher::singleton().findSchemaOrThrow(
                  name.substr(0, dot).c_str(), dot == std::string::npos ? "" : name.substr(dot + 1).c_str()),
              {},
              info[2].IsArray(),
              {},
              {}};
  const auto& parameters = call.op.schema().arguments();
  check_argument(args.Length() == parameters.size(), "args", std::to_string(parameters.size()) + " arguments",
                 args.Length());
  for (uint32_t k = 0; k < args.Length(); ++k) {
    call.arguments.push_back(to_ivalue(args.Get(k), parameters[k].type(), call.with_grad, call.inputs));
  }
  if (!call.with_grad) return call;
  const Napi::Array seeds = info[2].As<Napi::Array>();
  for (uint32_t k = 0; k < seeds.Length(); ++k) {
    call.seeds.push_back(seeds.Get(k).IsObject() ? to_tensor(seeds.Get(k)) : at::Tensor());
  }
  return call;
}

OpResults run(const OpCall& call) {
  const runtime::FlushSubnormals flush;  // as on a session's thread
  const at::AutoGradMode mode(call.with_grad);
  torch::jit::Stack stack = call.arguments;
  call.op.callBoxed(stack);
  OpResults results;
  for (const c10::IValue& value : stack) collect(value, results.outputs);
  if (!call.with_grad) return results;
  std::vector<at::Tensor> used;
  std::vector<at::Tensor> seeds;
  for (size_t k = 0; k < call.seeds.size() && k < results.outputs.size(); ++k) {
    if (!call.seeds[k].defined()) continue;
    used.push_back(results.outputs[k]);
    seeds.push_back(call.seeds[k]);
  }
  results.gradients = torch::autograd::grad(used, call.inputs, seeds, false, false, true);
  return results;
}

Napi::Value call_op(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    const OpResults results = run(to_op_call(info));
    Napi::Object result = Napi::Object::New(env);
    result.Set("outputs", from_tensors(env, results.outputs));
    result.Set("gradients", from_tensors(env, results.gradients));
    return result;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

/// libtorch's threads for the calls of this thread, while it lives.
class ThreadCount {
 public:
  explicit ThreadCount(int64_t threads) { at::set_num_threads(static_cast<int>(threads)); }
  ~ThreadCount() { at::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  const int before_ = at::get_num_threads();
};

Napi::Value time_op(const Napi::CallbackInfo& info) {
  using Clock = std::chrono::steady_clock;
  const Napi::Env env = info.Env();
  try {
    const OpCall call = to_op_call(info);
    const Napi::Object options = to_object(info[3], "options");
    const int64_t calls = to_integer(options.Get("calls"), "calls");
    const int64_t threads = to_integer(options.Get("threads"), "threads");
    check_argument(threads >= 1 && threads <= 1024, "threads", "1 to 1024", threads);
    const ThreadCount scope(threads);
    std::vector<double> seconds;
    for (int64_t k = 0; k < calls; ++k) {
      const Clock::time_point start = Clock::now();
      run(call);
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    return to_typed_array<Napi::Float64Array>(env, seconds.data(), seconds.size());
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

Napi::Value task_counts(const Napi::CallbackInfo& info) {
  Napi::Object counts = Napi::Object::New(info.Env());
  counts.Set("live", static_cast<double>(LiveTask::count()));
  counts.Set("settledAgain", static_cast<double>(Settlement::repeated()));
  return counts;
}

Napi::Value cgroup_cpus(const Napi::CallbackInfo& info) {
  try {
    return Napi::Number::New(info.Env(), runtime::cgroup_cpus(to_string(info[0], "root")));
  } catch (...) {
    throw to_js_error(info.Env(), std::current_exception());
  }
}

}  // namespace

void register_op_bridge(Napi::Env env, Napi::Object exports) {
  exports.Set("_callOp", Napi::Function::New(env, call_op, "_callOp"));
  exports.Set("_timeOp", Napi::Function::New(env, time_op, "_timeOp"));
  exports.Set("_taskCounts", Napi::Function::New(env, task_counts, "_taskCounts"));
  exports.Set("_cgroupCpus", Napi::Function::New(env, cgroup_cpus, "_cgroupCpus"));
}

}  // namespace albert_ner::binding
