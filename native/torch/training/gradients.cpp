#include "torch/training/gradients.h"

#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

namespace albert_ner::training {

GradientScope::GradientScope(const NamedParameters& parameters) {
  for (const auto& entry : parameters) parameters_.push_back(entry.second.requires_grad_(true));
}

GradientScope::~GradientScope() {
  for (const at::Tensor& parameter : parameters_) parameter.requires_grad_(false);
}

std::vector<at::Tensor> GradientScope::gradients(const at::Tensor& loss) const {
  std::vector<at::Tensor> gradients =
      torch::autograd::grad({loss}, parameters_, {}, std::nullopt, false, /*allow_unused=*/true);
  for (size_t k = 0; k < gradients.size(); ++k) {
    if (!gradients[k].defined()) gradients[k] = at::zeros_like(parameters_[k]);
  }
  return gradients;
}

}  // namespace albert_ner::training
