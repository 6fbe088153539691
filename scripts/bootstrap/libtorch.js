// Finds libtorch, or installs the pinned one into the cache folder with the user's own pip, so that the user's index,
// mirror and proxy hold.
//
// An installation is made beside its place and renamed there, and `complete.json` is written before that: a folder that
// is there is whole, whatever was interrupted. Every library is compared with the hash its wheel gives.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { SetupError, say, watchBytes } from './console.js';
import { withLock } from './lock.js';
import { findPip, requireTools, runQuietly } from './tools.js';

export const TORCH_VERSION = '2.15.0';
/** The versions torch's metadata pins: what a CUDA build of libtorch_cpu needs to load on any machine. */
const CUDA_RUNTIME_WHEELS = ['nvidia-cuda-runtime==13.2.86.*', 'nvidia-cuda-cupti==13.2.86.*'];
/** Size of the wheels for the bar, and of wheels and installation together for the disk check. */
const DOWNLOAD_BYTES = 553e6;
const INSTALL_BYTES = 2.5e9;
const STAMP = 'complete.json';

/** ALBERT_NER_CACHE, else the system's place for caches. */
export function cacheFolder() {
  const { ALBERT_NER_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (ALBERT_NER_CACHE) return resolve(ALBERT_NER_CACHE);
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'albert-ner');
  if (process.platform === 'win32')
    return join(LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'albert-ner');
  return join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'albert-ner');
}

const installFolder = () => join(cacheFolder(), `libtorch-${TORCH_VERSION}`);

/** Version and folder (with include/ and lib/) of a libtorch, or why it is none. */
export function inspectTorch(folder) {
  const library =
    { darwin: 'libtorch_cpu.dylib', win32: 'torch_cpu.dll' }[process.platform] ?? 'libtorch_cpu.so';
  for (const file of ['include/ATen/ATen.h', 'include/torch/headeronly/version.h', `lib/${library}`]) {
    if (!existsSync(join(folder, file))) return { problem: `${join(folder, file)} is missing` };
  }
  const header = readFileSync(join(folder, 'include/torch/headeronly/version.h'), 'utf8');
  const version = /#define TORCH_VERSION \\?\s*"([^"]+)"/.exec(header)?.[1] ?? 'unknown';
  const [major, minor] = version.split('.').map(Number);
  const [wantedMajor, wantedMinor] = TORCH_VERSION.split('.').map(Number);
  if (major !== wantedMajor || !(minor >= wantedMinor)) {
    return {
      problem: `version ${version}, but ${wantedMajor}.${wantedMinor} or a later ${wantedMajor}.x is needed`,
    };
  }
  return { folder, version };
}

/** The torch package of a Python. */
function pythonTorch(executable) {
  const script = 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])';
  const { status, stdout } = spawnSync(executable, ['-c', script], { encoding: 'utf8' });
  if (status !== 0)
    throw new SetupError(`${executable} has no torch: ${executable} -m pip install torch==${TORCH_VERSION}`);
  return stdout.trim();
}

/** A place the caller named, and how; null when none was. */
function explicitChoice(torch) {
  const { ALBERT_NER_LIBTORCH, LIBTORCH, LIBTORCH_USE_PYTORCH } = process.env;
  if (torch?.startsWith('python')) {
    return { how: `--torch ${torch}`, folder: pythonTorch(torch.split('=')[1] ?? 'python3') };
  }
  if (torch) return { how: `--torch ${torch}`, folder: resolve(torch) };
  if (ALBERT_NER_LIBTORCH) return { how: 'ALBERT_NER_LIBTORCH', folder: resolve(ALBERT_NER_LIBTORCH) };
  if (LIBTORCH) return { how: 'LIBTORCH', folder: resolve(LIBTORCH) };
  if (LIBTORCH_USE_PYTORCH === '1') return { how: 'LIBTORCH_USE_PYTORCH', folder: pythonTorch('python3') };
  return null;
}

/** A libtorch that is already there, or null. Throws when one was named that can't be used. */
export function findTorch({ torch } = {}) {
  const chosen = explicitChoice(torch);
  if (chosen) {
    const found = inspectTorch(chosen.folder);
    if (found.problem)
      throw new SetupError(`No usable libtorch in ${chosen.folder} (${chosen.how}): ${found.problem}`);
    return found;
  }
  if (existsSync(join(installFolder(), STAMP))) {
    const found = inspectTorch(join(installFolder(), 'torch'));
    if (!found.problem) return found;
    say(`The installation in ${installFolder()} is damaged (${found.problem}) and will be replaced`);
    return null;
  }
  for (const folder of ['/opt/libtorch', '/usr/local', '/usr']) {
    const found = inspectTorch(folder);
    if (!found.problem) return found;
  }
  return null;
}

/** The libtorch to build against, installed if need be. */
export async function provideTorch(options) {
  const found = findTorch(options);
  if (found) return found;
  requireTools({ native: false, python: true });
  return withLock(`${installFolder()}.lock`, async () => {
    // Whoever held the lock before may have installed it.
    const meanwhile = findTorch(options);
    if (meanwhile) return meanwhile;
    await install(options);
    const installed = findTorch(options);
    if (!installed) throw new SetupError(`The installation in ${installFolder()} is incomplete`);
    return installed;
  });
}

async function install({ indexUrl, from }) {
  const folder = installFolder();
  const staging = `${folder}.part`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(join(staging, 'wheels'), { recursive: true });
  checkDisk(staging);
  const wheels = from ? [resolve(from)] : await downloadTorch(staging, indexUrl);
  say('Unpacking libtorch');
  await pipInstall(staging, wheels);
  if (needsCudaRuntime(join(staging, 'torch'))) {
    const source = from ? wheelsBeside(from) : CUDA_RUNTIME_WHEELS;
    await pipInstall(staging, source, indexUrl && !from ? ['--extra-index-url', indexUrl] : []);
  }
  await verifyHashes(staging);
  rmSync(join(staging, 'wheels'), { recursive: true, force: true });
  writeFileSync(
    join(staging, STAMP),
    `${JSON.stringify({ torch: TORCH_VERSION, installed: new Date().toISOString() })}\n`,
  );
  rmSync(folder, { recursive: true, force: true });
  renameSync(staging, folder);
}

function checkDisk(folder) {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < INSTALL_BYTES) {
    const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
    throw new SetupError(
      `libtorch needs ${gigabytes(INSTALL_BYTES)} GB but ${folder} has ${gigabytes(bavail * bsize)} GB free: ` +
        'make room, or set ALBERT_NER_CACHE to a folder on another disk',
    );
  }
}

const pipArguments = ['-m', 'pip', '--disable-pip-version-check', '--no-input'];

/** Downloads torch's wheel, with a bar on the bytes that arrive in pip's own temporary folder. */
async function downloadTorch(staging, indexUrl) {
  const temporary = join(staging, 'download');
  mkdirSync(temporary);
  const stop = watchBytes(`Downloading libtorch ${TORCH_VERSION}`, DOWNLOAD_BYTES, () =>
    folderBytes(staging),
  );
  try {
    await new Promise((done, reject) => {
      const args = [...pipArguments, 'download', '--no-deps', '--no-cache-dir', '--progress-bar', 'off'];
      if (indexUrl) args.push('--index-url', indexUrl);
      args.push('--dest', join(staging, 'wheels'), `torch==${TORCH_VERSION}`);
      const child = spawn(findPip().command, args, {
        env: { ...process.env, TMPDIR: temporary },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let errors = '';
      child.stderr.on('data', (data) => {
        errors += data;
      });
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) done();
        else
          reject(
            new SetupError(`pip can't download torch ${TORCH_VERSION}:\n${errors.trim()}\n${offlineHint}`),
          );
      });
    });
  } finally {
    stop();
  }
  rmSync(temporary, { recursive: true, force: true });
  return wheelsIn(join(staging, 'wheels'));
}

const offlineHint =
  'Behind a proxy set HTTPS_PROXY; for a mirror use --index-url; without a network copy the wheels here and use --from.';

function folderBytes(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    try {
      if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size;
    } catch {
      // Moved while we looked.
    }
  }
  return bytes;
}

const wheelsIn = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.whl'))
    .map((name) => join(folder, name));

/** The small CUDA wheels next to a given torch wheel. */
function wheelsBeside(file) {
  const folder = resolve(file, '..');
  const found = wheelsIn(folder).filter((name) => /nvidia_cuda_(runtime|cupti)/.test(name));
  if (found.length < CUDA_RUNTIME_WHEELS.length) {
    throw new SetupError(
      `This torch is a CUDA build and needs ${CUDA_RUNTIME_WHEELS.join(' and ')} beside ${file}`,
    );
  }
  return found;
}

/** Installs packages into a folder, without what they depend on. */
export async function pipInstall(target, what, extra = []) {
  const args = [
    ...pipArguments,
    'install',
    '--quiet',
    '--no-deps',
    '--no-compile',
    '--no-warn-script-location',
  ];
  args.push('--root-user-action', 'ignore', '--upgrade', '--target', target, ...extra, ...what);
  await runQuietly(findPip().command, args);
}

/** A CUDA build of libtorch_cpu needs the CUDA runtime even on a machine without a GPU. */
function needsCudaRuntime(torch) {
  return existsSync(join(torch, 'lib', 'libc10_cuda.so'));
}

/** Compares the libraries with the hashes in their wheels' RECORD files. */
async function verifyHashes(folder) {
  for (const info of readdirSync(folder).filter((name) => name.endsWith('.dist-info'))) {
    for (const line of readFileSync(join(folder, info, 'RECORD'), 'utf8').split('\n')) {
      const [path, hash] = line.split(',');
      if (!/\/lib\/lib(torch_cpu|c10|gomp|cudart|cupti)\b[^/]*$/.test(path) || !hash?.startsWith('sha256='))
        continue;
      const actual = await sha256(join(folder, path));
      if (actual !== hash.slice('sha256='.length))
        throw new SetupError(`${path} is damaged: run the set-up again`);
    }
  }
}

/** As RECORD has it: URL-safe base64 without padding. */
async function sha256(file) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 22 })) hash.update(chunk);
  return hash.digest('base64url');
}
