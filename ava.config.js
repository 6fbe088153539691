// Tests are compiled by tsc to dist/test and run there, one process per file: libtorch keeps global state.
import { availableParallelism } from 'node:os';

export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false,
  // Each file computes on a thread or two and takes up to 300 MB, so more files than these gain little.
  concurrency: Math.min(availableParallelism(), 4),
  // Only a net for what never ends: the time in which no test of any file has ended, on a slow and busy machine, too.
  timeout: '30m',
};
