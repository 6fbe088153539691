// Apart from its callers: only sources of the operators are compiled with OpenMP.
#include "ops/support/team.h"

#include <mutex>
#include <set>
#include <thread>

#include "ops/support/tasks.h"

namespace albert_ner::ops {

int64_t team_size() {
  constexpr int64_t kTasks = 4096;  // more than there are threads: each gets some
  std::mutex mutex;
  std::set<std::thread::id> team;
  for_each_task(kTasks, [&](int64_t) {
    const std::lock_guard<std::mutex> lock(mutex);
    team.insert(std::this_thread::get_id());
  });
  return static_cast<int64_t>(team.size());
}

}  // namespace albert_ner::ops
