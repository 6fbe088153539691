#include "runtime/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string_view>

namespace albert_ner::runtime {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

/// Version 2: "max 100000", or quota and period in microseconds.
double quota_of_v2(const std::string& folder) {
  double quota = 0;
  double period = 0;
  std::ifstream file(folder + "/cpu.max");
  return file >> quota >> period && quota > 0 && period > 0 ? quota / period : kNone;
}

/// Version 1: -1 for none.
double quota_of_v1(const std::string& folder) {
  double quota = -1;
  double period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : kNone;
}

/// Of the cgroup at `path` below `mount` and of all above it. A path of another namespace than the mount's leads
/// nowhere, and the mount is the process's own cgroup.
double smallest(const std::string& mount, std::string path, double (*quota_of)(const std::string&)) {
  double least = quota_of(mount);
  while (path.size() > 1) {
    least = std::min(least, quota_of(mount + path));
    path.resize(path.rfind('/'));
  }
  return least;
}

bool has_controller(std::string_view list, std::string_view controller) {
  for (size_t start = 0; start <= list.size();) {
    const size_t end = std::min(list.find(',', start), list.size());
    if (list.substr(start, end - start) == controller) return true;
    start = end + 1;
  }
  return false;
}

}  // namespace

double cgroup_cpus(const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  double least = kNone;
  // Each line is "number:controllers:path"; that of version 2 is "0::path".
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, smallest(mount, path, quota_of_v2));
      // Where version 1 is in use, too, version 2 has a folder of its own.
      least = std::min(least, smallest(mount + "/unified", path, quota_of_v2));
    } else if (has_controller(controllers, "cpu")) {
      least = std::min(least, smallest(mount + "/cpu", path, quota_of_v1));
      least = std::min(least, smallest(mount + "/" + std::string(controllers), path, quota_of_v1));
    }
  }
  return least;
}

}  // namespace albert_ner::runtime
