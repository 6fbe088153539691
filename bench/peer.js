// A Python peer kept running: one line in, one JSON line out.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** `ask(words)` sends a line and resolves to the parsed answer. */
export function startPeer(script, args) {
  const python = process.env.PYTHON ?? 'python3';
  const path = fileURLToPath(new URL(`peers/${script}`, import.meta.url));
  const child = spawn(python, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = [];
  child.on('exit', (code) => {
    for (const { reject } of waiting) reject(new Error(`${script} ended with ${code}`));
  });
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  return {
    ask(words) {
      child.stdin.write(`${words}\n`);
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    close: () => child.stdin.end(),
  };
}
