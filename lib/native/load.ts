/**
 * Finds and loads the addon, and explains when it can't. First match wins: ALBERT_NER_ADDON, a prebuilt file in the
 * package, the file the set-up built. Loading happens at the first native call, never on import.
 */

import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AlbertNerError, toAlbertNerError } from '../errors.js';
import type { NativeAddon, NativeSession } from './binding.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const require = createRequire(import.meta.url);

const SETUP_HINT =
  'run "npx albert-ner setup" (in a checkout "node scripts/bootstrap.js"); "npx albert-ner doctor" shows what is missing';

/** File name of the addon, whatever its folder. */
const ADDON_FILE = 'albert_ner.node';
/**
 * Rounds in which a thread of libtorch's pool looks for work before it sleeps. libgomp's default is 300,000, during which it takes
 * the core from whoever could use it. `bench/calls.js` on two cores: beside one busy process the slowest of a hundred sentences
 * takes 168 ms with that and 23 ms with this; on a quiet machine the median is 5.4 and 5.6 ms.
 */
const SPIN_COUNT = '2000';

let loaded: NativeAddon | undefined;
let ending = false;

// process.exit ends the process without freeing its environment. Registered on import: while listeners run, one that is added
// isn't called, so an addon that is loaded by one of them would get none.
process.once('exit', () => {
  ending = true;
  loaded?.stopSessions();
});

/** Throws ERR_NATIVE_NOT_FOUND with the paths tried and the command to run, or ERR_NATIVE_VERSION. */
export function loadNative(): NativeAddon {
  loaded ??= prepared(requireAddon());
  return loaded;
}

function requireAddon(): NativeAddon {
  const candidates = candidatePaths();
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new AlbertNerError(
      'ERR_NATIVE_NOT_FOUND',
      `The native addon isn't built (${candidates.join(', ')}): ${SETUP_HINT}`,
      {
        details: { paths: candidates },
      },
    );
  }
  checkOnlyCopy(path);
  let addon: NativeAddon;
  try {
    addon = withShortSpins(() => require(path) as NativeAddon);
  } catch (error) {
    const translated = toAlbertNerError(error);
    if (translated.code === 'ERR_NATIVE_VERSION') throw translated;
    throw new AlbertNerError(
      'ERR_NATIVE_NOT_FOUND',
      `The native addon ${path} can't be loaded: ${libtorchProblem(path) ?? translated.message}; ${SETUP_HINT}`,
      {
        details: { paths: [path] },
        cause: error,
      },
    );
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const built = addon.buildInfo().version;
  if (built !== version) {
    throw new AlbertNerError(
      'ERR_NATIVE_VERSION',
      `The addon is of version ${built} but the package of ${version}: ${SETUP_HINT}`,
    );
  }
  return addon;
}

function candidatePaths(): string[] {
  const given = process.env.ALBERT_NER_ADDON;
  if (given) return [given];
  const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, ADDON_FILE);
  return [prebuilt, join(root, 'build', 'Release', ADDON_FILE)];
}

/** Why this user can't have the libtorch that the set-up linked the addon to; null when that isn't it. */
function libtorchProblem(path: string): string | null {
  let folder: string;
  try {
    ({ folder } = JSON.parse(readFileSync(join(dirname(path), 'libtorch.json'), 'utf8')) as {
      folder: string;
    });
  } catch {
    return null;
  }
  try {
    accessSync(join(folder, 'lib'), constants.R_OK | constants.X_OK);
    return null;
  } catch (error) {
    return (
      `libtorch was set up in ${folder}, which this user can't read (${(error as NodeJS.ErrnoException).code}). ` +
      'Set ALBERT_NER_CACHE to a folder that all users can read and set it up there, or do so as this user'
    );
  }
}

/**
 * A second copy of the addon would register its operators with the one libtorch of the process again, which ends the
 * process inside of the loader. Throws ERR_NATIVE_VERSION instead. Two threads that load two copies in the same moment
 * aren't told apart.
 */
function checkOnlyCopy(path: string): void {
  const own = realpathSync(path);
  const other = loadedFiles().find((file) => basename(file) === ADDON_FILE && !isSameFile(file, own));
  if (other === undefined) return;
  throw new AlbertNerError(
    'ERR_NATIVE_VERSION',
    `The addon ${own} can't be loaded: this process has loaded another copy of it, ${other}, and can hold one. ` +
      '"npm ls albert-ner" shows who depends on which version; give them the same one, or a process each',
    { details: { paths: [own, other] } },
  );
}

/** Also by two names, as package managers link files: the system's loader knows a file that is loaded by any of them. */
function isSameFile(path: string, other: string): boolean {
  return path === other || fileId(path) === fileId(other);
}

function fileId(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return path; // Gone since it was loaded, or out of reach.
  }
}

/**
 * Files the process has mapped, those that were deleted or replaced since among them; where the system doesn't list them,
 * its shared libraries.
 */
function loadedFiles(): string[] {
  if (process.platform !== 'linux') {
    return (process.report.getReport() as unknown as { sharedObjects: string[] }).sharedObjects;
  }
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return [...new Set(lines.map((line) => line.replace(/^(\S+\s+){5}/, '').replace(/ \(deleted\)$/, '')))];
}

/**
 * libgomp reads its settings from the environment of the process when it is loaded, which is together with the addon.
 * A worker has only a copy of that environment.
 */
function withShortSpins<T>(load: () => T): T {
  const { env } = process;
  if (env.GOMP_SPINCOUNT !== undefined || env.OMP_WAIT_POLICY !== undefined) return load();
  env.GOMP_SPINCOUNT = SPIN_COUNT;
  try {
    return load();
  } finally {
    // For us alone, not for child processes.
    delete env.GOMP_SPINCOUNT;
  }
}

function prepared(addon: NativeAddon): NativeAddon {
  if (ending) addon.stopSessions(); // No session can be opened any more.
  return withTranslatedErrors(addon);
}

/** Errors of the addon are plain; callers get AlbertNerError, with a stack of their own. */
function withTranslatedErrors(addon: NativeAddon): NativeAddon {
  const plainSession = addon.Session;
  class Session {
    constructor(options: { device: string; threads: number }) {
      try {
        // biome-ignore lint/correctness/noConstructorReturn: the object is the addon's; this only translates errors.
        return translateMethods(new plainSession(options));
      } catch (error) {
        throw toAlbertNerError(error);
      }
    }
  }
  return {
    buildInfo: addon.buildInfo,
    cudaUnavailableReason: addon.cudaUnavailableReason,
    stopSessions: addon.stopSessions,
    CancelToken: addon.CancelToken,
    _callOp: addon._callOp,
    _timeOp: addon._timeOp,
    _taskCounts: addon._taskCounts,
    _cgroupCpus: addon._cgroupCpus,
    Session: Session as unknown as NativeAddon['Session'],
  };
}

function translateMethods(session: NativeSession): NativeSession {
  const prototype = Object.getPrototypeOf(session) as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const method = prototype[name];
    if (name === 'constructor' || typeof method !== 'function') continue;
    const translated = async (...args: unknown[]) => {
      try {
        return await method.apply(session, args);
      } catch (error) {
        throw toAlbertNerError(error);
      }
    };
    Object.defineProperty(session, name, { value: translated });
  }
  return session;
}
