// How CUDA kernels are written and launched: the only file that includes CUDA's headers. Everything CUDA has
// that isn't C++ (the launch itself, shared memory) has a name here, so that the same source also compiles as
// C++ under the emulator of the tests (test/native/cuda/emulator.h), which is included before it.
#pragma once

#include <torch/library.h>

#include <cstddef>
#include <cstdint>

#include "torch/support/core_names.h"

#if !defined(ALBERT_NER_CUDA_EMULATOR)
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/macros/Macros.h>
#include <cuda_runtime.h>
#endif

// ALBERT_NER_CUDA_LIBRARY(m)            registers the kernels of a .cu file: on CUDA those of the namespace
//                                       albert_ner; emulated, in a namespace of their own on tensors of the
//                                       CPU, and in the right one on those of the device that stands in for
//                                       a GPU
// ALBERT_NER_SHARED(type, name, count)  declares an array in the shared memory of a block
// ALBERT_NER_UNROLL                     before a loop that must not remain one: arrays in registers know no
//                                       index
// ALBERT_NER_DEVICE_ASSERT(condition)   stops a kernel that would leave its memory; the host learns of it
//                                       later
#if defined(ALBERT_NER_CUDA_EMULATOR)
#define ALBERT_NER_CUDA_LIBRARY(m)                        \
  void register_kernels(torch::Library& m);               \
  TORCH_LIBRARY_IMPL(albert_ner_emulated, CPU, library) { \
    register_kernels(library);                            \
  }                                                       \
  TORCH_LIBRARY_IMPL(albert_ner, PrivateUse1, library) {  \
    register_kernels(library);                            \
  }                                                       \
  void register_kernels(torch::Library& m)
#define ALBERT_NER_SHARED(type, name, count) \
  static const char name##_declaration = 0;  \
  type* const name = ::cuda_emulator::Block::current->static_shared<type>(&name##_declaration, count)
#define ALBERT_NER_UNROLL
#define ALBERT_NER_DEVICE_ASSERT(condition)                                                   \
  do {                                                                                        \
    if (!(condition)) ::cuda_emulator::Block::current->fail("assertion failed: " #condition); \
  } while (false)
#else
#define ALBERT_NER_CUDA_LIBRARY(m) TORCH_LIBRARY_IMPL(albert_ner, CUDA, m)
#define ALBERT_NER_SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define ALBERT_NER_UNROLL _Pragma("unroll")
#define ALBERT_NER_DEVICE_ASSERT(condition) CUDA_KERNEL_ASSERT(condition)
#endif

namespace albert_ner::ops {

constexpr int kWarpThreads = 32;
/// The mask of a shuffle or barrier of a whole warp.
constexpr uint32_t kAllLanes = 0xffffffffu;

/// Blocks, threads of each, and bytes of its dynamic shared memory.
struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

/// The dynamic shared memory of the running block.
template <typename T>
__device__ T* dynamic_shared() {
#if defined(ALBERT_NER_CUDA_EMULATOR)
  return ::cuda_emulator::Block::current->dynamic_shared<T>();
#else
  extern __shared__ __align__(16) unsigned char memory[];
  return reinterpret_cast<T*>(memory);
#endif
}

/// Launches a kernel on the current stream of the current device and checks that the launch was accepted. A
/// grid without blocks is no launch.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape,
            const Arguments&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
#if defined(ALBERT_NER_CUDA_EMULATOR)
  ::cuda_emulator::launch(name, kernel, shape.grid, shape.block, shape.shared_bytes, arguments...);
#else
  static_cast<void>(name);
  // More than this a block gets only on request.
  constexpr size_t kGrantedSharedBytes = 48 * 1024;
  if (shape.shared_bytes > kGrantedSharedBytes) {
    C10_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shape.shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = c10::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, arguments...));
#endif
}

}  // namespace albert_ner::ops
