// Adam and AdamW over a head's parameters, with one learning rate per group and clipping by the global norm.
// The arithmetic is libtorch's fused step.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "model/checkpoint.h"

namespace albert_ner::training {

enum class OptimizerKind { kAdam, kAdamW };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  /// Not applied to biases nor to the CRF. Adam adds it to the gradient, AdamW shrinks the weight.
  double weight_decay = 0;
  /// Largest Euclidean norm of all gradients together; 0 disables clipping.
  double clip_norm = 0;
};

struct LearningRates {
  double bilstm = 0;
  double classifier = 0;
  double crf = 0;
};

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

class Optimizer {
 public:
  /// The parameters are updated in place and must outlive the optimizer's use.
  Optimizer(OptimizerConfig config, NamedParameters parameters);

  /// One step with gradients in the order of the parameters. Returns their norm before clipping. Throws
  /// kInvalidArgument, changing nothing, when the norm isn't finite.
  double step(const std::vector<at::Tensor>& gradients, const LearningRates& rates);

  /// "exp_avg.<name>", "exp_avg_sq.<name>" and "step" [1]: all a continued run needs to continue to the same
  /// bits.
  NamedParameters state() const;
  void load(const model::TensorFile& file);

 private:
  OptimizerConfig config_;
  NamedParameters parameters_;
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  at::Tensor step_;  // [1] float32, exact up to 2^24 steps
};

}  // namespace albert_ner::training
