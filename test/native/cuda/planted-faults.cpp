// Kernels with planted faults, and one without: what emulator.test.ts runs to see that the emulator catches
// each. One argument names a case; the program prints what the kernel computed in each order of threads, or
// ends with the emulator's error.
//
// It includes no libtorch, so it takes the emulator's own launch and shared memory.
#include <cstdio>
#include <string>
#include <vector>

#include "emulator.h"

namespace {

constexpr unsigned kThreads = 96;
constexpr unsigned kBlocks = 3;
constexpr uint32_t kAllLanes = 0xffffffffu;

float* shared_floats() {
  return cuda_emulator::Block::current->dynamic_shared<float>();
}

/// Sum of the values of each block; a barrier short if `Barrier` is false.
template <bool Barrier>
__global__ void block_sum(const float* values, float* out) {
  float* partial = shared_floats();
  const unsigned t = threadIdx.x;
  partial[t] = values[blockIdx.x * blockDim.x + t];
  __syncthreads();
  for (unsigned half = 64; half > 0; half /= 2) {
    if (t < half && t + half < blockDim.x) partial[t] += partial[t + half];
    if (Barrier) __syncthreads();
  }
  if (t == 0) atomicAdd(out, partial[0]);
}

/// Neighbours of a warp swap values through shared memory; without __syncwarp if `Barrier` is false.
template <bool Barrier>
__global__ void warp_swap(const float* values, float* out) {
  float* slots = shared_floats();
  const unsigned t = threadIdx.x;
  slots[t] = values[t];
  if (Barrier) __syncwarp();
  out[blockIdx.x * blockDim.x + t] = slots[t ^ 1];
}

/// Every block writes the same place.
__global__ void blocks_collide(const float*, float* out) {
  if (threadIdx.x == 0) out[0] = static_cast<float>(blockIdx.x);
}

__global__ void half_at_barrier(const float*, float* out) {
  if (threadIdx.x < 48) __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void barriers_apart(const float*, float* out) {
  if (threadIdx.x < 48) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void lane_never_comes(const float*, float* out) {
  if (threadIdx.x % 32 == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.0f, 1);
}

__global__ void lane_not_named(const float*, float* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1.0f, 20);
}

__global__ void caller_not_named(const float*, float* out) {
  out[threadIdx.x] = static_cast<float>(__any_sync(0x0000ffffu, 1));
}

__global__ void uninitialised(const float*, float* out) {
  out[threadIdx.x] = shared_floats()[threadIdx.x];
}

__global__ void past_the_end(const float*, float* out) {
  shared_floats()[threadIdx.x + 1] = 1;
  out[threadIdx.x] = 1;
}

__global__ void before_the_start(const float*, float* out) {
  static const char declaration = 0;
  float* own = cuda_emulator::Block::current->static_shared<float>(&declaration, kThreads);
  own[static_cast<int>(threadIdx.x) - 1] = 1;
  out[threadIdx.x] = 1;
}

/// Reads past the end of a buffer that is no shared memory: only AddressSanitizer sees it.
__global__ void global_overrun(const float* values, float* out) {
  out[threadIdx.x] = values[kBlocks * kThreads - kThreads + threadIdx.x + 1];
}

/// What votes, shuffles and atomics give, each at a place of its own.
__global__ void intrinsics(const float*, float* out) {
  const unsigned lane = threadIdx.x % 32;
  const float value = static_cast<float>(lane);
  float sum = value;
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bits);
  const float down = __shfl_down_sync(kAllLanes, value, 3u);
  const float up = __shfl_up_sync(kAllLanes, value, 3u);
  const float third = __shfl_sync(kAllLanes, value, 3);
  const uint32_t odd = __ballot_sync(kAllLanes, lane % 2);
  const int all = __all_sync(kAllLanes, lane < 31);
  const int any = __any_sync(kAllLanes, lane == 31);
  if (threadIdx.x == 30 && blockIdx.x == 0) {
    const float results[] = {sum,
                             down,
                             up,
                             third,
                             odd == 0xaaaaaaaau ? 1.0f : 0.0f,
                             static_cast<float>(all),
                             static_cast<float>(any)};
    for (int k = 0; k < 7; ++k) out[k] = results[k];
  }
  atomicMax(&out[7], value);
  atomicAdd(&out[8], 1.0f);
}

using Kernel = void (*)(const float*, float*);

struct Case {
  const char* name;
  Kernel kernel;
};

constexpr Case kCases[] = {
    {"block_sum", block_sum<true>},
    {"missing_barrier", block_sum<false>},
    {"warp_swap", warp_swap<true>},
    {"missing_syncwarp", warp_swap<false>},
    {"blocks_collide", blocks_collide},
    {"half_at_barrier", half_at_barrier},
    {"barriers_apart", barriers_apart},
    {"lane_never_comes", lane_never_comes},
    {"lane_not_named", lane_not_named},
    {"caller_not_named", caller_not_named},
    {"uninitialised", uninitialised},
    {"past_the_end", past_the_end},
    {"before_the_start", before_the_start},
    {"global_overrun", global_overrun},
    {"intrinsics", intrinsics},
};

int run(const Case& chosen) {
  std::vector<float> values(kBlocks * kThreads);
  for (size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k % 17);
  for (int order = 0; order < cuda_emulator::kOrderCount; ++order) {
    std::vector<float> out(kBlocks * kThreads);
    cuda_emulator::set_order(static_cast<cuda_emulator::Order>(order));
    cuda_emulator::launch(chosen.name, chosen.kernel, dim3(kBlocks), dim3(kThreads), kThreads * sizeof(float),
                          values.data(), out.data());
    for (size_t k = 0; k < out.size(); ++k) std::printf(k == 0 ? "%g" : " %g", static_cast<double>(out[k]));
    std::printf("\n");
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string name = count == 2 ? arguments[1] : "";
  for (const Case& known : kCases) {
    if (name != known.name) continue;
    try {
      return run(known);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
  }
  std::fprintf(stderr, "no such case\n");
  return 2;
}
