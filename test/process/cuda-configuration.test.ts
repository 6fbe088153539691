import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { cacheFolder } from '../../lib/cache-folder.js';
import { run } from '../support/child.js';
import { libtorchFolder } from '../support/cuda-emulator.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';
import { unavailable } from '../support/unavailable.js';

/** The nvcc of CUDACXX, or the one compile-cuda.js installed. */
async function findNvcc(): Promise<string | undefined> {
  if (process.env.CUDACXX) return process.env.CUDACXX;
  const folders = existsSync(cacheFolder()) ? await readdir(cacheFolder()) : [];
  return folders
    .filter((name) => name.startsWith('nvcc-'))
    .map((name) => join(cacheFolder(), name, 'nvidia', `cu${/\d+/.exec(name)?.[0]}`, 'bin', 'nvcc'))
    .find((path) => existsSync(path));
}

/** nvcc's path; undefined where something is missing and the test can't run. */
async function nvccFor(t: ExecutionContext): Promise<string | undefined> {
  const nvcc = await findNvcc();
  const missing =
    nvcc === undefined
      ? 'there is no nvcc'
      : !existsSync(join(libtorchFolder(), 'lib', 'libc10_cuda.so'))
        ? 'this libtorch was built without CUDA'
        : undefined;
  if (missing === undefined) return nvcc;
  unavailable(t, missing);
  return undefined;
}

test('a build folder builds CUDA kernels as long as there is an nvcc, and no longer', async (t) => {
  const nvcc = await nvccFor(t);
  if (nvcc === undefined) return;
  const folder = await temporaryFolder(t);
  await writeFile(
    join(folder, 'CMakeLists.txt'),
    `cmake_minimum_required(VERSION 3.20)
project(configuration LANGUAGES CXX)
set(ALBERT_NER_LIBTORCH "${libtorchFolder()}")
include("${join(repoRoot, 'cmake', 'cuda.cmake')}")
`,
  );
  const { CUDACXX, PATH = '', ...env } = process.env;
  const path = PATH.split(delimiter)
    .filter((place) => !existsSync(join(place, 'nvcc')))
    .join(delimiter);
  const configure = async (more: NodeJS.ProcessEnv) => {
    const options = { env: { ...env, PATH: path, ...more } };
    const { code, stdout, stderr } = await run('cmake', ['-S', folder, '-B', join(folder, 'build')], options);
    t.is(code, 0, stderr);
    return /CUDA kernels: (.*)/.exec(stdout)?.[1];
  };
  t.is(await configure({ CUDACXX: nvcc }), `on, ${nvcc}`);
  t.regex(String(await configure({})), /^off, nvcc wasn't found/);
  t.is(await configure({ CUDACXX: nvcc }), `on, ${nvcc}`);
});
