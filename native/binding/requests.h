// JavaScript request objects of lib/native/binding.ts to C++ values, and results back.
#pragma once

#include <napi.h>

#include "torch/encoder/albert.h"
#include "torch/model/head.h"
#include "torch/model/tagging.h"
#include "torch/training/optimizer.h"
#include "torch/training/pretraining.h"
#include "torch/training/train_step.h"

namespace albert_ner::binding {

encoder::AlbertConfig to_encoder_config(const Napi::Value& value);
model::HeadConfig to_head_config(const Napi::Value& value);
/// `shared`: the value's `bytes`, which must live as long as the result.
model::TensorFile to_tensor_file(const Napi::Value& value, const Napi::Value& shared);
training::OptimizerConfig to_optimizer_config(const Napi::Value& value);
training::LearningRates to_learning_rates(const Napi::Value& value);
/// `tags` and `openTags` of a training request.
training::Annotation to_annotation(const Napi::Object& value);
training::PretrainingBatch to_pretraining_batch(const Napi::Value& value);
encoder::PackedUnits to_batch(const Napi::Object& value);
/// `keep` and `sequenceOffsets` of a request over windows of these lengths.
model::WindowPlan to_window_plan(const Napi::Object& value, std::vector<int64_t> lengths);
std::vector<int64_t> lengths_of(const std::vector<int32_t>& offsets);

Napi::Value from_tagging(Napi::Env env, const model::Tagging& tagging);
/// Array of NativeTensor; the tensors are float32 on the CPU.
Napi::Value from_tensors(Napi::Env env, const std::vector<std::pair<std::string, at::Tensor>>& tensors);

}  // namespace albert_ner::binding
