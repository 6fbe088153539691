// Tests are compiled by tsc to dist/test and run there, one process per file: libtorch keeps global state.
export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false,
  concurrency: 2,
  timeout: '5m',
};
