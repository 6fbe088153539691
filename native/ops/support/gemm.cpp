// Apart from the kernels: those know no heap.
#include "ops/support/gemm.h"

#include "ops/support/buffer.h"

namespace albert_ner::ops {

float* gemm_room(int64_t count) {
  static thread_local Buffer<float> room;
  return room.reserve(count);
}

}  // namespace albert_ner::ops
