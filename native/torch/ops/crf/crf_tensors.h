// A CRF problem's tensors, as crf.h describes them, taken apart for core/crf.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>

#include "core/crf/crf_float32.h"
#include "core/crf/crf_log_space.h"
#include "core/crf/crf_scores.h"
#include "torch/support/packed.h"

namespace albert_ner::ops {

struct CrfTensors {
  const at::Tensor& emissions;
  const at::Tensor& offsets;
  const at::Tensor& transitions;
  const at::Tensor& start_transitions;
  const at::Tensor& end_transitions;

  CrfShape shape() const { return {offsets.numel() - 1, emissions.size(0), emissions.size(1)}; }
  template <typename scalar_t>
  CrfMoveScores<scalar_t> moves() const {
    return {transitions.const_data_ptr<scalar_t>(), start_transitions.const_data_ptr<scalar_t>(),
            end_transitions.const_data_ptr<scalar_t>()};
  }
  template <typename scalar_t>
  Scores<scalar_t> scores() const {
    return {shape(), emissions.const_data_ptr<scalar_t>(), offsets.const_data_ptr<int32_t>(),
            moves<scalar_t>()};
  }
};

/// As core::check_scores.
inline CrfScoreFacts check_scores(const CrfTensors& problem) {
  return AT_DISPATCH_FLOATING_TYPES(problem.emissions.scalar_type(), "check_scores", [&] {
    return core::check_scores(problem.shape(), problem.emissions.const_data_ptr<scalar_t>(),
                              problem.moves<scalar_t>());
  });
}

/// That of this thread, set to the batch of a problem; its memory serves every call of the thread.
inline CrfFloat32& begin_float32(const CrfTensors& problem) {
  static thread_local CrfFloat32 crf;
  const CrfShape shape = problem.shape();
  crf.begin(problem.offsets.const_data_ptr<int32_t>(), shape.B, shape.K);
  return crf;
}

}  // namespace albert_ner::ops
