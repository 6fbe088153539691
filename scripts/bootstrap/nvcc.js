// Finds CUDA's compiler, or installs it into the cache folder from its wheels with the user's own pip. It needs neither
// a GPU nor a driver.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SetupError, say } from './console.js';
import { cacheFolder, pipInstall } from './libtorch.js';
import { withLock } from './lock.js';
import { firstLine, requireTools } from './tools.js';

/** The one torch's metadata pins the runtime of, and what it takes to compile for it. */
const NVCC_VERSION = '13.2.86';
const WHEELS = [
  'nvidia-cuda-nvcc',
  'nvidia-cuda-crt',
  'nvidia-nvvm',
  'nvidia-cuda-cccl',
  'nvidia-cuda-runtime',
];

/** Path of nvcc: --nvcc, else CUDACXX, else that of the cache folder, installed if need be. */
export async function provideNvcc({ nvcc } = {}) {
  const named = nvcc ?? process.env.CUDACXX;
  if (named) {
    if (firstLine(resolve(named), ['--version']) === null) {
      throw new SetupError(`No usable nvcc in ${resolve(named)} (${nvcc ? '--nvcc' : 'CUDACXX'})`);
    }
    return resolve(named);
  }
  requireTools({ native: true, python: true });
  const folder = join(cacheFolder(), `nvcc-${NVCC_VERSION}`);
  const executable = join(folder, 'nvidia', `cu${NVCC_VERSION.split('.')[0]}`, 'bin', 'nvcc');
  await withLock(`${folder}.lock`, async () => {
    if (existsSync(executable)) return;
    say(`Installing nvcc ${NVCC_VERSION} (90 MB to download)`);
    const staging = `${folder}.part`;
    rmSync(staging, { recursive: true, force: true });
    mkdirSync(staging, { recursive: true });
    await pipInstall(
      staging,
      WHEELS.map((wheel) => `${wheel}==${NVCC_VERSION}`),
    );
    rmSync(folder, { recursive: true, force: true });
    renameSync(staging, folder);
  });
  if (!existsSync(executable)) throw new SetupError(`The installation in ${folder} is incomplete`);
  return executable;
}
