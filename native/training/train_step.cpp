#include "training/train_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "common/check.h"
#include "ops/crf/crf.h"

namespace albert_ner::training {

StepResult train_step(model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const at::Tensor& tags, const LearningRates& rates, uint64_t seed) {
  const int64_t N = batch.rows.size(0);
  check_argument(N > 0, "sequences", "at least one unit", N);
  at::AutoGradMode with_grad(true);
  std::vector<at::Tensor> parameters;
  for (const auto& entry : head.parameters()) parameters.push_back(entry.second.requires_grad_(true));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor emissions = head.emissions(batch.rows, batch.offsets, &generator);  // [N, K]
  const model::ConstrainedTransitions crf = head.constrained();
  const at::Tensor nll =
      ops::crf_nll(emissions, tags, batch.offsets, crf.transitions, crf.start, crf.end);  // [B]
  const at::Tensor loss = nll.sum() / static_cast<double>(N);
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw_invalid("loss", "a finite number (is the learning rate too high, or are tags illegal?)",
                  std::to_string(value));
  }
  const std::vector<at::Tensor> gradients = torch::autograd::grad({loss}, parameters);
  for (const at::Tensor& parameter : parameters) parameter.requires_grad_(false);
  return {value, optimizer.step(gradients, rates)};
}

}  // namespace albert_ner::training
