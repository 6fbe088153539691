#include "core/gelu/gelu_float32.h"

#include "core/parallel.h"
#include "core/simd/isa.h"

namespace albert_ner::core {

ALBERT_NER_DECLARE_KERNELS(GeluKernels, kGeluKernels)

const GeluKernels& gelu_kernels() {
  return ALBERT_NER_ACTIVE_KERNELS(kGeluKernels);
}

namespace {

constexpr int64_t kElementsPerTask = 1 << 14;

}  // namespace

void gelu_tanh_forward(const GeluElements& x, int64_t count, const MutableGeluElements& y) {
  for_each_stretch(count, kElementsPerTask,
                   [&](int64_t first, int64_t size) { gelu_kernels().forward(x, first, size, y); });
}

void gelu_tanh_backward(const GeluElements& x, const GeluElements& d_y, int64_t count,
                        const MutableGeluElements& d_x) {
  for_each_stretch(count, kElementsPerTask,
                   [&](int64_t first, int64_t size) { gelu_kernels().backward(x, d_y, first, size, d_x); });
}

}  // namespace albert_ner::core
