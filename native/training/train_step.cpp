#include "training/train_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>

#include "common/check.h"
#include "ops/crf/crf.h"
#include "training/gradients.h"

namespace albert_ner::training {

double LearningRates::of(const std::string& parameter) const {
  if (parameter.rfind("bilstm.", 0) == 0) return bilstm;
  return parameter.rfind("classifier.", 0) == 0 ? classifier : crf;
}

StepResult train_step(model::Head& head, Optimizer& optimizer, const features::PackedFeatures& batch,
                      const at::Tensor& tags, const LearningRates& rates, uint64_t seed) {
  const int64_t N = batch.rows.size(0);
  check_argument(N > 0, "sequences", "at least one unit", N);
  const GradientScope scope(head.parameters());
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor emissions = head.emissions(batch.rows, batch.offsets, &generator);  // [N, K]
  const model::ConstrainedTransitions crf = head.constrained();
  const at::Tensor nll =
      ops::crf_nll(emissions, tags, batch.offsets, crf.transitions, crf.start, crf.end);  // [B]
  const at::Tensor loss = nll.sum() / static_cast<double>(N);
  const std::vector<at::Tensor> gradients = scope.gradients(loss);
  const double norm = optimizer.step(gradients, [&](const std::string& name) { return rates.of(name); });
  return {loss.item<double>(), norm};
}

}  // namespace albert_ner::training
