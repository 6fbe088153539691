// What kernels call: indices, barriers, shuffles, votes, atomics. Part of emulator.h, which includes it.
#pragma once

#include "emulator.h"

namespace cuda_emulator {

/// A barrier of the lanes in `mask`.
inline void wait_warp(const char* kind, uint32_t mask, const Where& where) {
  Block& block = *Block::current;
  if ((mask >> block.lane() & 1) == 0)
    block.fail(std::string(kind) + " by a lane that its own mask doesn't name");
  block.wait({kind, mask, where.line()});
}

/// The value that lane `source` gives. Twice a barrier: nobody may overwrite a slot before all have read.
template <typename T>
T exchange(const char* kind, uint32_t mask, T value, unsigned source, const Where& where) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  Block& block = *Block::current;
  if ((mask >> source & 1) == 0) {
    block.fail(std::string(kind) + " reads lane " + std::to_string(source) + ", which its mask doesn't name");
  }
  std::memcpy(&block.thread->slot, &value, sizeof value);
  wait_warp(kind, mask, where);
  T result;
  std::memcpy(&result, &block.lane_thread(source).slot, sizeof result);
  wait_warp(kind, mask, where);
  return result;
}

/// Bit l: whether lane l's predicate holds.
inline uint32_t ballot(const char* kind, uint32_t mask, bool predicate, const Where& where) {
  Block& block = *Block::current;
  block.thread->slot = predicate;
  wait_warp(kind, mask, where);
  uint32_t votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) votes |= static_cast<uint32_t>(block.lane_thread(lane).slot & 1) << lane;
  }
  wait_warp(kind, mask, where);
  return votes;
}

}  // namespace cuda_emulator

#define threadIdx (::cuda_emulator::Block::current->thread->index)
#define blockIdx (::cuda_emulator::Block::current->block_index)
#define blockDim (::cuda_emulator::Block::current->block_size)
#define gridDim (::cuda_emulator::Block::current->grid_size)

inline void __syncthreads(cuda_emulator::Where where = cuda_emulator::Where::current()) {
  cuda_emulator::Block::current->wait({"__syncthreads", 0, where.line()});
}

inline void __syncwarp(uint32_t mask = 0xffffffffu,
                       cuda_emulator::Where where = cuda_emulator::Where::current()) {
  cuda_emulator::wait_warp("__syncwarp", mask, where);
}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane,
              cuda_emulator::Where where = cuda_emulator::Where::current()) {
  return cuda_emulator::exchange("__shfl_sync", mask, value, static_cast<unsigned>(lane) % 32, where);
}

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int bits,
                  cuda_emulator::Where where = cuda_emulator::Where::current()) {
  const unsigned source = cuda_emulator::Block::current->lane() ^ static_cast<unsigned>(bits);
  return cuda_emulator::exchange("__shfl_xor_sync", mask, value, source % 32, where);
}

/// Past the end of the warp a lane reads itself.
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned distance,
                   cuda_emulator::Where where = cuda_emulator::Where::current()) {
  const unsigned lane = cuda_emulator::Block::current->lane();
  const unsigned source = lane + distance < 32 ? lane + distance : lane;
  return cuda_emulator::exchange("__shfl_down_sync", mask, value, source, where);
}

template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned distance,
                 cuda_emulator::Where where = cuda_emulator::Where::current()) {
  const unsigned lane = cuda_emulator::Block::current->lane();
  return cuda_emulator::exchange("__shfl_up_sync", mask, value, lane >= distance ? lane - distance : lane,
                                 where);
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate,
                              cuda_emulator::Where where = cuda_emulator::Where::current()) {
  return cuda_emulator::ballot("__ballot_sync", mask, predicate != 0, where);
}

inline int __any_sync(uint32_t mask, int predicate,
                      cuda_emulator::Where where = cuda_emulator::Where::current()) {
  return cuda_emulator::ballot("__any_sync", mask, predicate != 0, where) != 0;
}

inline int __all_sync(uint32_t mask, int predicate,
                      cuda_emulator::Where where = cuda_emulator::Where::current()) {
  return cuda_emulator::ballot("__all_sync", mask, predicate != 0, where) == mask;
}

// Fibers of one host thread can't come between the two halves of an atomic operation.

template <typename T>
T atomicAdd(T* address, T value) {
  return std::exchange(*address, static_cast<T>(*address + value));
}

template <typename T>
T atomicMax(T* address, T value) {
  return std::exchange(*address, std::max(*address, value));
}

template <typename T>
T atomicMin(T* address, T value) {
  return std::exchange(*address, std::min(*address, value));
}

template <typename T>
T atomicExch(T* address, T value) {
  return std::exchange(*address, value);
}

template <typename T>
T atomicCAS(T* address, T expected, T desired) {
  const T before = *address;
  if (before == expected) *address = desired;
  return before;
}
