// Tests are compiled by tsc to dist/test and run there, one process per file: libtorch keeps global state.
export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false,
  // One file at a time: some tests measure how long the event loop waits.
  concurrency: 1,
  timeout: '5m',
};
