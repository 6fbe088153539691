// Gradients of a loss with respect to parameters that are plain tensors outside of a step.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "torch/training/optimizer.h"

namespace albert_ner::training {

/// While it lives, operations on the parameters are recorded.
class GradientScope {
 public:
  explicit GradientScope(const NamedParameters& parameters);
  ~GradientScope();
  GradientScope(const GradientScope&) = delete;
  GradientScope& operator=(const GradientScope&) = delete;

  /// In the order of the parameters, zeros where the loss doesn't depend on one.
  std::vector<at::Tensor> gradients(const at::Tensor& loss) const;

 private:
  at::AutoGradMode with_grad_{true};
  std::vector<at::Tensor> parameters_;
};

}  // namespace albert_ner::training
