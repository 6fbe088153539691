// Marks the step mathematics of an operator (*_math.h) as callable from CPU and CUDA kernels alike.
#pragma once

#if defined(__CUDACC__)
#define ALBERT_NER_HOST_DEVICE __host__ __device__
#else
#define ALBERT_NER_HOST_DEVICE
#endif
