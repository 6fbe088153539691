#include "training/gradients.h"

#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "common/check.h"

namespace albert_ner::training {

void check_loss(double loss) {
  if (std::isfinite(loss)) return;
  throw_invalid("loss", "a finite number (is the learning rate too high, or are tags illegal?)",
                std::to_string(loss));
}

GradientScope::GradientScope(const NamedParameters& parameters) {
  for (const auto& entry : parameters) parameters_.push_back(entry.second.requires_grad_(true));
}

GradientScope::~GradientScope() {
  for (const at::Tensor& parameter : parameters_) parameter.requires_grad_(false);
}

std::vector<at::Tensor> GradientScope::gradients(const at::Tensor& loss) const {
  check_loss(loss.item<double>());
  std::vector<at::Tensor> gradients =
      torch::autograd::grad({loss}, parameters_, {}, std::nullopt, false, /*allow_unused=*/true);
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (!gradients[k].defined()) gradients[k] = at::zeros_like(parameters_[k]);
  }
  return gradients;
}

}  // namespace albert_ner::training
