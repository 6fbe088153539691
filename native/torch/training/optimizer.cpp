#include "torch/training/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "common/check.h"
#include "torch/support/on_device.h"

namespace albert_ner::training {
namespace {

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool decays(const std::string& name) {
  return !starts_with(name, "crf.") && !starts_with(name, "mix.") && !contains(name, "bias") &&
         !contains(name, "LayerNorm") && !contains(name, "layer_norm");
}

/// The loss, and the square root of the sum of all squares of the gradients in float64: one copy from the
/// device.
StepResult read(const at::Tensor& loss, const std::vector<at::Tensor>& gradients) {
  const at::Device device = gradients.front().device();
  std::vector<at::Tensor> scalars{on_device(loss.detach().to(at::kDouble), device)};
  for (const at::Tensor& gradient : gradients)
    scalars.push_back(on_device(gradient.norm(2, at::kDouble), device));
  const at::Tensor numbers = at::stack(scalars).cpu();  // [1 + parameters]
  const double* values = numbers.const_data_ptr<double>();
  double sum = 0;
  for (int64_t k = 1; k < numbers.numel(); ++k) sum += values[k] * values[k];
  return {values[0], std::sqrt(sum)};
}

void check(const StepResult& step) {
  if (!std::isfinite(step.loss)) {
    throw_invalid("loss", "a finite number (is the learning rate too high, or are tags illegal?)",
                  std::to_string(step.loss));
  }
  if (!std::isfinite(step.gradient_norm)) {
    throw_invalid("gradients", "finite numbers (is the learning rate too high?)",
                  std::to_string(step.gradient_norm));
  }
}

}  // namespace

Optimizer::Optimizer(OptimizerConfig config, NamedParameters parameters)
    : config_(config), parameters_(std::move(parameters)), step_(at::zeros({1})) {
  for (const auto& entry : parameters_) {
    exp_avg_.push_back(at::zeros_like(entry.second));
    exp_avg_sq_.push_back(at::zeros_like(entry.second));
  }
}

StepResult Optimizer::step(const at::Tensor& loss, const std::vector<at::Tensor>& gradients,
                           const RateOf& rate_of) {
  check_average_unused();
  at::NoGradGuard no_grad;
  const StepResult result = read(loss, gradients);
  check(result);
  const double norm = result.gradient_norm;
  const double scale = config_.clip_norm > 0 && norm > config_.clip_norm ? config_.clip_norm / norm : 1;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    const auto& [name, parameter] = parameters_[k];
    const at::Tensor gradient = scale == 1 ? gradients[k] : gradients[k] * scale;
    const double decay = decays(name) ? config_.weight_decay : 0;
    const double rate = rate_of(name);
    // The fused step reads its own count; every parameter gets a copy of the common one.
    at::Tensor count = on_device(step_.squeeze(0) + 1, parameter.device());
    const at::TensorList weights(parameter);
    const at::TensorList gradients_of(gradient);
    switch (config_.kind) {
      case OptimizerKind::kAdam:
        at::_fused_adam_(weights, gradients_of, exp_avg_[k], exp_avg_sq_[k], {}, count, rate, config_.beta1,
                         config_.beta2, decay, config_.epsilon, false, false);
        break;
      case OptimizerKind::kAdamW:
        at::_fused_adamw_(weights, gradients_of, exp_avg_[k], exp_avg_sq_[k], {}, count, rate, config_.beta1,
                          config_.beta2, decay, config_.epsilon, false, false);
        break;
      case OptimizerKind::kLamb:
        lamb(k, gradient, rate, decay);
        break;
    }
  }
  step_ += 1;
  return result;
}

void Optimizer::lamb(size_t index, const at::Tensor& gradient, double rate, double decay) {
  const at::Tensor& parameter = parameters_[index].second;
  at::Tensor& mean = exp_avg_[index];
  at::Tensor& square = exp_avg_sq_[index];
  mean.mul_(config_.beta1).add_(gradient, 1 - config_.beta1);
  square.mul_(config_.beta2).addcmul_(gradient, gradient, 1 - config_.beta2);
  const double count = step_.item<double>() + 1;
  const double mean_bias = 1 - std::pow(config_.beta1, count);
  const double square_bias = 1 - std::pow(config_.beta2, count);
  at::Tensor update = (mean / mean_bias).div_((square / square_bias).sqrt_().add_(config_.epsilon));
  if (decay != 0) update.add_(parameter, decay);
  const double parameter_norm = parameter.norm().item<double>();
  const double update_norm = update.norm().item<double>();
  const double trust = parameter_norm > 0 && update_norm > 0 ? parameter_norm / update_norm : 1;
  parameter.sub_(update, rate * trust);
}

NamedParameters Optimizer::state() const {
  check_average_unused();
  NamedParameters state;
  for (size_t k = 0; k < parameters_.size(); ++k)
    state.emplace_back("exp_avg." + parameters_[k].first, exp_avg_[k]);
  for (size_t k = 0; k < parameters_.size(); ++k) {
    state.emplace_back("exp_avg_sq." + parameters_[k].first, exp_avg_sq_[k]);
  }
  state.emplace_back("step", step_);
  return state;
}

void Optimizer::load(const model::TensorFile& file) {
  check_average_unused();
  std::vector<model::NameAndShape> wanted;
  for (const auto& [name, tensor] : state()) wanted.emplace_back(name, tensor.sizes().vec());
  const auto tensors = model::read_tensors(file, wanted);
  const size_t count = parameters_.size();
  for (size_t k = 0; k < count; ++k) {
    exp_avg_[k] = on_device(tensors[k].second, parameters_[k].second.device());
    exp_avg_sq_[k] = on_device(tensors[count + k].second, parameters_[k].second.device());
  }
  step_ = tensors.back().second;
}

void Optimizer::average() {
  check_average_unused();
  at::NoGradGuard no_grad;
  if (averaged_ == 0) {
    average_.clear();
    for (const auto& entry : parameters_) average_.push_back(entry.second.detach().clone());
  } else {
    const double share = 1.0 / static_cast<double>(averaged_ + 1);
    for (size_t k = 0; k < parameters_.size(); ++k) average_[k].lerp_(parameters_[k].second, share);
  }
  ++averaged_;
}

void Optimizer::use_average(bool use) {
  check_averaged();
  if (use == average_in_use_) return;
  at::NoGradGuard no_grad;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    const at::Tensor other = parameters_[k].second.detach().clone();
    parameters_[k].second.copy_(average_[k]);
    average_[k] = other;
  }
  average_in_use_ = use;
}

NamedParameters Optimizer::average_state() const {
  check_averaged();
  check_average_unused();
  NamedParameters state;
  for (size_t k = 0; k < average_.size(); ++k) state.emplace_back(parameters_[k].first, average_[k]);
  state.emplace_back("count", at::full({1}, averaged_, at::kFloat));
  return state;
}

void Optimizer::load_average(const model::TensorFile& file) {
  check_average_unused();
  std::vector<model::NameAndShape> wanted;
  for (const auto& [name, parameter] : parameters_) wanted.emplace_back(name, parameter.sizes().vec());
  wanted.emplace_back("count", std::vector<int64_t>{1});
  const auto tensors = model::read_tensors(file, wanted);
  const double count = tensors.back().second.item<double>();
  check_argument(count >= 1, "count", "at least one averaged state", count);
  average_.clear();
  for (size_t k = 0; k < parameters_.size(); ++k)
    average_.push_back(on_device(tensors[k].second, parameters_[k].second.device()));
  averaged_ = static_cast<int64_t>(count);
}

void Optimizer::check_averaged() const {
  if (averaged_ == 0) throw_invalid("average", "averaged weights before this call", "none");
}

void Optimizer::check_average_unused() const {
  if (average_in_use_) throw_invalid("average", "the weights in their place", "their mean");
}

}  // namespace albert_ner::training
