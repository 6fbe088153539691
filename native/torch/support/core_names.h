// Operators are what core does, on tensors: they use its names as their own.
#pragma once

namespace albert_ner::core {}

namespace albert_ner::ops {

using namespace core;

}  // namespace albert_ner::ops
