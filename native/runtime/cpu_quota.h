// The processor time that a container grants.
#pragma once

#include <string>

namespace albert_ner::runtime {

/// CPUs' worth of time that the cgroups of this process grant, version 2 or 1: the smallest quota of its own
/// cgroup and of those above it; infinity where none sets one. `root` stands before /proc and /sys; the tests
/// put a folder there.
double cgroup_cpus(const std::string& root);

}  // namespace albert_ner::runtime
