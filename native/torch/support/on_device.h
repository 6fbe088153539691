// The one way of tensors between devices.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <vector>

namespace albert_ner {

/// The tensor on a device; itself when it is there. Only the way to the CPU waits for the other device: a
/// copy from host memory takes its place among the device's work, and memory that isn't pinned has been read
/// when the call returns.
inline at::Tensor on_device(const at::Tensor& tensor, at::Device device) {
  return tensor.to(tensor.options().device(device), /*non_blocking=*/!device.is_cpu());
}

/// The values, [n] int64.
inline at::Tensor on_device(const std::vector<int64_t>& values, at::Device device) {
  return on_device(at::tensor(values, at::kLong), device);
}

}  // namespace albert_ner
