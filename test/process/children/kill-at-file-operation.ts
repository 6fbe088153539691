/**
 * A preload that ends its process before the KILL_AT-th operation that changes files, as a power cut would: the same
 * moment on every machine. With KILL_AT=0 the process lives, and says at its end how many there were.
 */

import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const NAMES = ['mkdir', 'open', 'rename', 'rm', 'unlink', 'writeFile', 'appendFile'];
const HANDLE_NAMES = ['write', 'writev', 'writeFile', 'appendFile', 'sync', 'truncate'];

type Operations = Record<string, (this: unknown, ...args: unknown[]) => unknown>;

const killAt = Number(process.env.KILL_AT);
let operations = 0;

function watch(operationsOf: object, names: readonly string[]): void {
  const functions = operationsOf as Operations;
  for (const name of names) {
    const original = functions[name];
    functions[name] = function (...args) {
      operations += 1;
      if (operations === killAt) process.kill(process.pid, 'SIGKILL');
      return original.apply(this, args);
    };
  }
}

const handle = await fsPromises.open(import.meta.filename);
const handlePrototype = Object.getPrototypeOf(handle);
await handle.close();
watch(handlePrototype, HANDLE_NAMES);
watch(fsPromises, NAMES);
watch(
  fs,
  NAMES.map((name) => `${name}Sync`),
);
syncBuiltinESMExports();
if (killAt === 0) process.on('exit', () => console.error(`file operations: ${operations}`));
