/**
 * Terminates workers whose results wait for them, then prints how many of their calls are still there and how often one was
 * settled again. A worker ends while it is busy ("blocked") or in the getter of `then` that settling a promise reads ("then").
 * Arguments: model directory, which, workers.
 */

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { readModelDirectory } from '../../../lib/model/model-directory.js';
import { nativeEncoderConfig } from '../../../lib/model/native-config.js';
import { loadNative } from '../../../lib/native/load.js';

const [directory, which, workers] = process.argv.slice(2);
const CALLS = 20;

const addon = loadNative();
if (isMainThread) {
  for (let round = 0; round < Number(workers); round += 1) {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: [directory, which] });
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
  }
  console.log(JSON.stringify(addon._taskCounts()));
} else {
  const { description, vocab, encoderWeights } = await readModelDirectory(directory);
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  await session.loadEncoder(nativeEncoderConfig(description.encoder, vocab), encoderWeights);
  const batch = { ids: new Int32Array(50).fill(5), offsets: Int32Array.of(0, 50) };
  const calls = Array.from({ length: CALLS }, () => session.encode(batch));
  if (which === 'then') {
    Object.defineProperty(Float32Array.prototype, 'then', { get: () => block() });
    await Promise.all(calls);
  } else {
    block();
  }
}

/** Until the worker is terminated. */
function block(): never {
  parentPort?.postMessage('blocked');
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
