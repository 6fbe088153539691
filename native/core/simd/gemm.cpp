// Apart from the kernels: those know no heap.
#include "core/simd/gemm.h"

#include "core/simd/buffer.h"

namespace albert_ner::core {

float* gemm_room(int64_t count) {
  static thread_local Buffer<float> room;
  return room.reserve(count);
}

}  // namespace albert_ner::core
