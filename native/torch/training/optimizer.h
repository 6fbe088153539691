// Adam, AdamW and LAMB over named parameters, with a learning rate per parameter and clipping by the global
// norm. Adam's arithmetic is libtorch's fused step.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "torch/model/checkpoint.h"

namespace albert_ner::training {

enum class OptimizerKind { kAdam, kAdamW, kLamb };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  /// Not applied to biases, layer norms, the mix of layers nor the CRF. Adam adds it to the gradient, AdamW
  /// and LAMB to the update.
  double weight_decay = 0;
  /// Largest Euclidean norm of all gradients together; 0 disables clipping.
  double clip_norm = 0;
};

/// Learning rate of the parameter of this name.
using RateOf = std::function<double(const std::string& name)>;

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

struct StepResult {
  double loss;
  double gradient_norm;  // Euclidean, of all gradients together, before clipping
};

class Optimizer {
 public:
  /// The parameters are updated in place and must outlive the optimizer's use.
  Optimizer(OptimizerConfig config, NamedParameters parameters);

  const NamedParameters& parameters() const { return parameters_; }

  /// One step with gradients in the order of the parameters, those of `loss` []. Loss and norm are read from
  /// their device in one copy, which is all a step waits for with Adam and AdamW. Throws kInvalidArgument,
  /// changing nothing, when either isn't finite.
  StepResult step(const at::Tensor& loss, const std::vector<at::Tensor>& gradients, const RateOf& rate_of);

  /// "exp_avg.<name>", "exp_avg_sq.<name>" and "step" [1]: all a continued run needs to continue to the same
  /// bits.
  NamedParameters state() const;
  void load(const model::TensorFile& file);

  /// Takes the present parameters into the mean over all calls (Polyak and Juditsky 1992).
  void average();
  /// Puts the mean in the parameters' place, or the parameters back into theirs, to the bit. Until then no
  /// other member may be called: kInvalidArgument, as it is to use or export a mean of nothing.
  void use_average(bool use);
  /// "<name>", the mean of that parameter, and "count" [1].
  NamedParameters average_state() const;
  void load_average(const model::TensorFile& file);
  /// Throws kInvalidArgument while the mean is in the parameters' place.
  void check_average_unused() const;

 private:
  void check_averaged() const;
  /// LAMB (You et al. 2020, algorithm 2): Adam's update, scaled so that its norm is the parameter's.
  void lamb(size_t index, const at::Tensor& gradient, double rate, double decay);

  OptimizerConfig config_;
  NamedParameters parameters_;
  std::vector<at::Tensor> exp_avg_;
  std::vector<at::Tensor> exp_avg_sq_;
  at::Tensor step_;  // [1] float32 on the CPU, exact up to 2^24 steps
  /// Empty until the first average; the parameters themselves while the mean is in use.
  std::vector<at::Tensor> average_;
  int64_t averaged_ = 0;
  bool average_in_use_ = false;
};

}  // namespace albert_ner::training
