/**
 * Finds and loads the addon, and explains when it can't. First match wins: ALBERT_NER_ADDON, a prebuilt file in the
 * package, the file the set-up built. Loading happens at the first native call, never on import.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AlbertNerError, toAlbertNerError } from '../errors.js';
import type { NativeAddon, NativeSession } from './binding.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const require = createRequire(import.meta.url);

const SETUP_HINT =
  'run "npx albert-ner setup" (in a checkout "node scripts/bootstrap.js"); "npx albert-ner doctor" shows what is missing';

let loaded: NativeAddon | undefined;

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
  let addon: NativeAddon;
  try {
    addon = require(path) as NativeAddon;
  } catch (error) {
    const translated = toAlbertNerError(error);
    if (translated.code === 'ERR_NATIVE_VERSION') throw translated;
    throw new AlbertNerError(
      'ERR_NATIVE_NOT_FOUND',
      `The native addon ${path} can't be loaded: ${translated.message}; ${SETUP_HINT}`,
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
  const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'albert_ner.node');
  return [prebuilt, join(root, 'build', 'Release', 'albert_ner.node')];
}

function prepared(addon: NativeAddon): NativeAddon {
  // process.exit ends the process without freeing its environment.
  process.once('exit', () => addon.stopSessions());
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
