#include "torch/model/checkpoint.h"

#include <ATen/ops/empty.h>

namespace albert_ner::model {

std::vector<std::pair<std::string, at::Tensor>> read_tensors(const TensorFile& file,
                                                             const std::vector<NameAndShape>& wanted) {
  const TensorReader reader(file, wanted);
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t place = 0; place < wanted.size(); ++place) {
    reader.count(place);  // Before memory is taken for a shape that the file's bytes don't have.
    at::Tensor values = at::empty(wanted[place].second, at::kFloat);
    reader.read(place, values.mutable_data_ptr<float>());
    tensors.emplace_back(wanted[place].first, values);
  }
  return tensors;
}

}  // namespace albert_ner::model
