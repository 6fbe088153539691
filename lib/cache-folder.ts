/** Where what can be made again is kept: libtorch, converted encoders. The set-up scripts have the same rule. */

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** ALBERT_NER_CACHE, else the system's place for caches. */
export function cacheFolder(): string {
  const { ALBERT_NER_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (ALBERT_NER_CACHE) return resolve(ALBERT_NER_CACHE);
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'albert-ner');
  if (process.platform === 'win32')
    return join(LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'albert-ner');
  return join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'albert-ner');
}
