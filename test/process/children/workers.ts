/** Loads and predicts in four worker threads and in the main one; then terminates a worker in the middle of a call. */

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { AlbertNer } from '../../../lib/index.js';

const SENTENCE = '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议。';

if (isMainThread) {
  const directory = process.argv[2];
  const start = (long: boolean) =>
    new Worker(fileURLToPath(import.meta.url), { workerData: { directory, long } });
  const answer = (worker: Worker) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const ner = await AlbertNer.load(directory, { device: 'cpu', threads: 1 });
  const own = await ner.predict(SENTENCE);
  const answers = await Promise.all(Array.from({ length: 4 }, () => answer(start(false))));
  const equal = answers.every((entities) => JSON.stringify(entities) === JSON.stringify(own.entities));
  const busy = start(true);
  await new Promise((resolve) => busy.once('message', resolve));
  await busy.terminate();
  const again = await ner.predict(SENTENCE);
  console.log(JSON.stringify({ equal, survived: JSON.stringify(again) === JSON.stringify(own) }));
} else {
  const { directory, long } = workerData as { directory: string; long: boolean };
  const ner = await AlbertNer.load(directory, { device: 'cpu', threads: 1 });
  if (long) {
    // Each of these texts is a call of its own, and only two are queued at a time: another gets its turn in between.
    const running = ner.predict(new Array<string>(200).fill(SENTENCE.repeat(400)));
    await ner.predict(SENTENCE);
    parentPort?.postMessage('busy');
    await running;
  } else {
    const { entities } = await ner.predict(SENTENCE);
    parentPort?.postMessage(entities);
  }
}
