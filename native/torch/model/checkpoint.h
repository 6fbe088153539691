// Tensors from the bytes of safetensors files, for libtorch.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/tensor_file.h"

namespace albert_ner::model {

using namespace engine;

/// The wanted tensors in float32 on the CPU, in the order wanted. Throws as TensorReader.
std::vector<std::pair<std::string, at::Tensor>> read_tensors(const TensorFile& file,
                                                             const std::vector<NameAndShape>& wanted);

}  // namespace albert_ner::model
