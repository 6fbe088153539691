// How many threads a parallel loop really has, for tests.
#pragma once

#include <cstdint>

namespace albert_ner::ops {

/// Threads that take part in a loop of for_each_task on the calling thread.
int64_t team_size();

}  // namespace albert_ner::ops
