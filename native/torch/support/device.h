// Which device a session runs on, and why CUDA can't be used when it can't.
#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

namespace albert_ner {

/// Empty when CUDA can be used here, else the reason. Loads the CUDA part of libtorch the first time a driver
/// is found.
std::optional<std::string> cuda_unavailable_reason();

/// "auto", "cpu", "cuda" or "cuda:N". Throws kInvalidArgument for anything else, kDeviceUnavailable with the
/// reason when CUDA was asked for and can't be used.
c10::Device parse_device(const std::string& name);

}  // namespace albert_ner
