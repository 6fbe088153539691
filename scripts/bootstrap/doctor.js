// One line per thing the package needs or uses, with the remedy for what is missing.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { findTorch, TORCH_VERSION } from './libtorch.js';
import { ADDON } from './setup.js';
import { findCmake, findCompiler, findPip, nodeIsSupported, remedyFor } from './tools.js';

const SETUP = 'run "npx albert-ner setup" (in a checkout "node scripts/bootstrap.js")';

/** Checks in reading order: { name, ok, value, remedy? }; `ok` is null for what is only noted. */
export async function diagnose() {
  return [...machine(), ...tools(), ...native(), ...environment()];
}

const check = (name, ok, value, remedy) => ({
  name,
  ok,
  value,
  ...(ok === false && remedy ? { remedy } : {}),
});

function machine() {
  const gigabytes = (bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const glibc = process.report?.getReport().header.glibcVersionRuntime;
  const musl = process.platform === 'linux' && !glibc;
  return [
    check(
      'Node',
      nodeIsSupported(),
      `${process.versions.node}, Node-API ${process.versions.napi}`,
      'install a current LTS release',
    ),
    check(
      'system',
      musl ? false : null,
      `${process.platform} ${process.arch}${glibc ? `, glibc ${glibc}` : musl ? ', musl' : ''}`,
      'libtorch needs glibc: use a Debian, Ubuntu or Fedora image',
    ),
    check(
      'processor',
      null,
      `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} usable, ${instructionSets()}`,
    ),
    check('memory', null, `${gigabytes(freemem())} free of ${gigabytes(totalmem())}`),
  ];
}

function instructionSets() {
  try {
    const flags = /^(?:flags|Features)\s*:\s*(.*)$/m
      .exec(readFileSync('/proc/cpuinfo', 'utf8'))[1]
      .split(' ');
    const known = ['avx2', 'fma', 'f16c', 'avx512f', 'asimd'].filter((flag) => flags.includes(flag));
    return known.join(' ') || 'no vector extensions';
  } catch {
    return 'vector extensions unknown';
  }
}

function tools() {
  const compiler = findCompiler();
  const cmake = findCmake();
  const pip = findPip();
  // Tools are needed to build, not to run: without an addon their absence is a failure.
  const needed = existsSync(ADDON) ? null : false;
  return [
    check(
      'compiler',
      compiler && compiler.cxx20 !== false ? true : needed,
      compiler?.version ?? 'none',
      remedyFor('compiler'),
    ),
    check('CMake', cmake?.recent ? true : needed, cmake?.version ?? 'none', remedyFor('cmake')),
    check('pip', pip ? true : null, pip?.version ?? 'none (only needed to install libtorch)'),
  ];
}

function native() {
  let torch = null;
  let problem = `none; ${TORCH_VERSION} would be installed`;
  try {
    torch = findTorch();
  } catch (error) {
    problem = error.message;
  }
  const checks = [
    check('libtorch', torch !== null, torch ? `${torch.version} in ${torch.folder}` : problem, SETUP),
  ];
  const addon = process.env.ALBERT_NER_ADDON ?? ADDON;
  if (!existsSync(addon)) return [...checks, check('addon', false, 'not built', SETUP)];
  const script = `const addon = require(${JSON.stringify(addon)});
    console.log(JSON.stringify({ ...addon.buildInfo(), reason: addon.cudaUnavailableReason() }))`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  if (status !== 0)
    return [...checks, check('addon', false, `can't be loaded: ${firstError(stderr)}`, SETUP)];
  const { version, torchLoaded, compiler, commit, instructionSet, cuda, reason } = JSON.parse(stdout);
  return [
    ...checks,
    check('addon', true, `${version} (${commit}), ${compiler}, libtorch ${torchLoaded}, ${instructionSet}`),
    check('CUDA', null, reason === null ? `${cuda}, usable` : `not used: ${reason}`),
  ];
}

function firstError(text) {
  return (
    text
      .split('\n')
      .find((line) => /error/i.test(line))
      ?.trim() ?? text.trim().split('\n')[0]
  );
}

function environment() {
  const names = Object.keys(process.env).filter((name) => /^(ALBERT_NER_|LIBTORCH)/.test(name));
  return names.map((name) => check(name, null, process.env[name]));
}
