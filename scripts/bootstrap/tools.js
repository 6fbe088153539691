// The tools the set-up needs: which there are, and the remedy for each that is missing.

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SetupError } from './console.js';

/** The package's root, with a trailing slash. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

const CMAKE_MINIMUM = [3, 20];

const REMEDIES = {
  linux: {
    compiler:
      'sudo apt-get install g++ make (Debian, Ubuntu) or sudo dnf install gcc-c++ make (Fedora); g++ 11 or newer',
    cmake: 'sudo apt-get install cmake, sudo dnf install cmake, or pip install cmake',
    python: 'sudo apt-get install python3 python3-pip, or sudo dnf install python3 python3-pip',
  },
  darwin: {
    compiler: 'xcode-select --install',
    cmake: 'brew install cmake, or pip install cmake',
    python: 'brew install python',
  },
  win32: {
    compiler: 'install Visual Studio Build Tools with "Desktop development with C++"',
    cmake: 'winget install Kitware.CMake',
    python: 'winget install Python.Python.3.12',
  },
};

/** What to type on this system. */
export function remedyFor(tool) {
  return (REMEDIES[process.platform] ?? REMEDIES.linux)[tool];
}

/** First line a command prints, or null when it can't be run. */
export function firstLine(command, args) {
  const { status, stdout, error } = spawnSync(command, args, { encoding: 'utf8' });
  return error || status !== 0 ? null : stdout.split('\n')[0].trim();
}

/** The range in package.json is a list of "^a.b.c" and ">=a"; true when `version` is in one of them. */
export function nodeIsSupported(version = process.versions.node) {
  const { engines } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const numbers = (text) => text.split('.').map(Number);
  const atLeast = (a, b) => {
    for (let k = 0; k < b.length; k += 1) if (a[k] !== b[k]) return a[k] > b[k];
    return true;
  };
  const actual = numbers(version);
  return engines.node.split('||').some((part) => {
    const range = part.trim();
    if (range.startsWith('>=')) return atLeast(actual, numbers(range.slice(2)));
    const wanted = numbers(range.slice(1));
    return actual[0] === wanted[0] && atLeast(actual, wanted);
  });
}

/** The compiler CMake will take, with its version; null when there is none. */
export function findCompiler() {
  if (process.platform === 'win32') return { command: 'cl', version: 'found by CMake' };
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  for (const command of candidates) {
    const version = firstLine(command, ['--version']);
    if (version === null) continue;
    const probe = spawnSync(command, ['-std=c++20', '-fsyntax-only', '-x', 'c++', '-'], {
      input: '#include <version>\n#include <concepts>\nstatic_assert(std::integral<int>);\n',
      encoding: 'utf8',
    });
    return { command, version, cxx20: probe.status === 0 };
  }
  return null;
}

/** CMake's version, and whether it is new enough; null when there is none. */
export function findCmake() {
  const line = firstLine('cmake', ['--version']);
  const match = /(\d+)\.(\d+)[\d.]*/.exec(line ?? '');
  if (!match) return null;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const recent = major > CMAKE_MINIMUM[0] || (major === CMAKE_MINIMUM[0] && minor >= CMAKE_MINIMUM[1]);
  return { version: match[0], recent };
}

/** A Python that has pip: the command and pip's version; null when there is none. */
export function findPip() {
  const candidates = process.platform === 'win32' ? ['python', 'py'] : ['python3', 'python'];
  for (const command of candidates) {
    const version = firstLine(command, ['-m', 'pip', '--version']);
    if (version !== null) return { command, version: version.split(' from ')[0] };
  }
  return null;
}

/** Names every missing tool at once, with its remedy. `python` is needed only to install libtorch. */
export function requireTools({ native, python }) {
  const missing = [];
  if (!nodeIsSupported()) {
    const { engines } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
    missing.push(`Node ${engines.node} (this is ${process.versions.node}): install a current LTS release`);
  }
  if (native) {
    const compiler = findCompiler();
    if (compiler === null) missing.push(`a C++20 compiler: ${remedyFor('compiler')}`);
    else if (compiler.cxx20 === false) {
      missing.push(`a compiler that knows C++20 (${compiler.version} doesn't): ${remedyFor('compiler')}`);
    }
    const cmake = findCmake();
    if (cmake === null) missing.push(`CMake ${CMAKE_MINIMUM.join('.')} or newer: ${remedyFor('cmake')}`);
    else if (!cmake.recent) {
      missing.push(
        `CMake ${CMAKE_MINIMUM.join('.')} or newer (this is ${cmake.version}): ${remedyFor('cmake')}`,
      );
    }
  }
  if (python && findPip() === null) {
    missing.push(
      `Python 3 with pip, to install libtorch: ${remedyFor('python')}; or name a libtorch with --torch`,
    );
  }
  if (missing.length > 0) {
    throw new SetupError(`The set-up needs:\n${missing.map((line) => `  - ${line}`).join('\n')}`);
  }
}

/** Runs a command to its end and returns its output; a failure shows the output's tail. */
export function runQuietly(command, args, { env = process.env, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (data) => {
      output += data;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => reject(new SetupError(`Can't run ${command}: ${error.message}`)));
    child.on('close', (code) => {
      if (code === 0) resolve(output);
      else {
        const tail = output.split('\n').slice(-30).join('\n');
        reject(new SetupError(`${command} ${args.join(' ')} failed with ${code}:\n${tail}`));
      }
    });
  });
}
