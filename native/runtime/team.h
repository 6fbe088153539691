// The threads that compute for a session: OpenMP's pool of the session's thread.
#pragma once

namespace albert_ner::runtime {

/// Starts the calling thread's team of up to `threads`, at least 1, itself included, and returns how many it
/// has: fewer where the system or OMP_THREAD_LIMIT allows no more. OpenMP would start them at the first parallel
/// operator, and end the process when it can't.
int start_team(int threads);

}  // namespace albert_ner::runtime
