// A Python peer kept running: a JSON line in, a JSON line out. peers/serve.py is the other end.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** `ask(request)` resolves to the answer, and rejects with the remedy when the peer has ended. */
export function startPeer(script, args) {
  const python = process.env.PYTHON ?? 'python3';
  const path = fileURLToPath(new URL(`peers/${script}`, import.meta.url));
  const child = spawn(python, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = [];
  let failure = null;
  const fail = (reason) => {
    failure ??= new Error(
      `The peer ${script} needs Python with its packages, but ${python} ${reason}: ` +
        'pip install -r bench/peers/requirements.txt, and name the interpreter with PYTHON',
    );
    for (const { reject } of waiting.splice(0)) reject(failure);
  };
  child.on('error', (error) => fail(`can't be run (${error.code})`));
  child.on('exit', (code, signal) => fail(`ended with ${code ?? signal}`));
  child.stdin.on('error', () => {}); // A child that ends early closes the pipe.
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  return {
    ask(request) {
      if (failure) return Promise.reject(failure);
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    close: () => child.stdin.end(),
  };
}
