#include "torch/training/frequency_sampler.h"

#include <cmath>

#include "common/splitmix64.h"
#include "torch/training/vector_math.h"

namespace albert_ner::training {
namespace {

constexpr size_t kNoiseSize = 1 << 22;

}  // namespace

FrequencySampler::FrequencySampler(int64_t item_count, double frequent, uint64_t seed)
    : frequent_(frequent),
      random_state_(seed),
      counts_(static_cast<size_t>(item_count), 0),
      kept_share_(static_cast<size_t>(item_count), 1) {}

void FrequencySampler::update() {
  double total = 0;
  double powers = 0;
  for (uint64_t occurrences : counts_) {
    total += static_cast<double>(occurrences);
    powers += std::pow(static_cast<double>(occurrences), 0.75);
  }
  noise_.clear();
  if (total == 0) return;
  for (size_t item = 0; item < counts_.size(); ++item) {
    const double occurrences = static_cast<double>(counts_[item]);
    const double share = std::pow(occurrences, 0.75) / powers;
    noise_.insert(noise_.end(), static_cast<size_t>(std::ceil(share * kNoiseSize)),
                  static_cast<int32_t>(item));
    const double frequency = occurrences / total;
    kept_share_[item] = frequency > frequent_ ? static_cast<float>(std::sqrt(frequent_ / frequency)) : 1.0F;
  }
}

bool FrequencySampler::keep(int64_t item) {
  return kept_share_[item] == 1 || next_uniform(&random_state_) < kept_share_[item];
}

int32_t FrequencySampler::draw() {
  return noise_[splitmix64_next(&random_state_) % noise_.size()];
}

}  // namespace albert_ner::training
