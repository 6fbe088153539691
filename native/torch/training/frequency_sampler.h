// How often each of many items occurs, and the two random choices that follow from it when a model learns to
// tell observed items from noise. Source: Mikolov et al. 2013, section 2.
#pragma once

#include <cstdint>
#include <vector>

namespace albert_ner::training {

class FrequencySampler {
 public:
  /// `frequent`: items with a larger share of all occurrences are thinned out.
  FrequencySampler(int64_t item_count, double frequent, uint64_t seed);

  void count(int64_t item) { ++counts_[item]; }
  /// Makes the choices those of the present counts.
  void update();
  /// Nothing was counted before the last update.
  bool empty() const { return noise_.empty(); }

  /// Whether to learn from an occurrence.
  bool keep(int64_t item);
  /// An item with a probability in proportion to its count to the power of 3/4.
  int32_t draw();

 private:
  double frequent_;
  uint64_t random_state_;
  std::vector<uint64_t> counts_;   // [items]
  std::vector<int32_t> noise_;     // items, as often as they are to be drawn
  std::vector<float> kept_share_;  // [items]
};

}  // namespace albert_ner::training
