#include "training/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "common/check.h"

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

/// Square root of the sum of all squares, in float64.
double global_norm(const std::vector<at::Tensor>& gradients) {
  double sum = 0;
  for (const at::Tensor& gradient : gradients) {
    const double norm = gradient.norm(2, at::kDouble).item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

}  // namespace

Optimizer::Optimizer(OptimizerConfig config, NamedParameters parameters)
    : config_(config), parameters_(std::move(parameters)), step_(at::zeros({1})) {
  for (const auto& entry : parameters_) {
    exp_avg_.push_back(at::zeros_like(entry.second));
    exp_avg_sq_.push_back(at::zeros_like(entry.second));
  }
}

double Optimizer::step(const std::vector<at::Tensor>& gradients, const RateOf& rate_of) {
  at::NoGradGuard no_grad;
  const double norm = global_norm(gradients);
  if (!std::isfinite(norm)) {
    throw_invalid("gradients", "finite numbers (is the learning rate too high?)", std::to_string(norm));
  }
  const double scale = config_.clip_norm > 0 && norm > config_.clip_norm ? config_.clip_norm / norm : 1;
  for (size_t k = 0; k < parameters_.size(); ++k) {
    const auto& [name, parameter] = parameters_[k];
    const at::Tensor gradient = scale == 1 ? gradients[k] : gradients[k] * scale;
    const double decay = decays(name) ? config_.weight_decay : 0;
    const double rate = rate_of(name);
    // The fused step reads its own count; every parameter gets a copy of the common one.
    at::Tensor count = (step_.squeeze(0) + 1).to(parameter.device());
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
  return norm;
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
  std::vector<model::NameAndShape> wanted;
  for (const auto& [name, tensor] : state()) wanted.emplace_back(name, tensor.sizes().vec());
  const auto tensors = model::read_tensors(file, wanted);
  const size_t count = parameters_.size();
  for (size_t k = 0; k < count; ++k) {
    exp_avg_[k] = tensors[k].second;
    exp_avg_sq_[k] = tensors[count + k].second;
  }
  step_ = tensors.back().second;
}

}  // namespace albert_ner::training
