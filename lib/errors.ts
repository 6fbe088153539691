/**
 * The one error class of the library and its closed list of codes.
 *
 * native/common/error.h holds the same list as a C++ enum, docs/errors.md explains every code; a contract test
 * compares the three.
 */

export const ERROR_CODES = [
  'ERR_INVALID_ARGUMENT',
  'ERR_INVALID_CONFIG',
  'ERR_INVALID_DATA',
  'ERR_CHECKPOINT_MISMATCH',
  'ERR_CHECKPOINT_UNREADABLE',
  'ERR_MODEL_NOT_FOUND',
  'ERR_LABELS_MISMATCH',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_DISPOSED',
  'ERR_ABORTED',
  'ERR_QUEUE_FULL',
  'ERR_TEXT_TOO_LONG',
  'ERR_OUT_OF_MEMORY',
  'ERR_IO',
  'ERR_NATIVE_NOT_FOUND',
  'ERR_NATIVE_VERSION',
  'ERR_TORCH',
  'ERR_INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Where and why: `file`, `line`, `byteOffset`, `option`, `reason`, `tensor`, …; JSON-serialisable. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface AlbertNerErrorOptions {
  details?: ErrorDetails;
  cause?: unknown;
}

/** Every failure the library detects. Branch on `code`; `message` is for people, `details` for programs. */
export class AlbertNerError extends Error {
  override readonly name = 'AlbertNerError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: AlbertNerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

const CODES: ReadonlySet<unknown> = new Set(ERROR_CODES);

/** What the system refuses because of the machine and not because of us, by its own codes. */
const SYSTEM_FAULTS: ReadonlySet<unknown> = new Set([
  ...['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'EMFILE', 'ENFILE', 'EBUSY'],
  ...['EISDIR', 'ENOTDIR', 'ENOENT', 'ENAMETOOLONG', 'ELOOP', 'ETXTBSY', 'EEXIST', 'ENOTEMPTY'],
]);

/**
 * Turns an error thrown by the addon (a plain Error with `code` and `details`) into an AlbertNerError, keeping
 * message and cause. A fault of the system becomes ERR_IO, anything else without a known code ERR_INTERNAL; an
 * AlbertNerError passes through.
 */
export function toAlbertNerError(error: unknown): AlbertNerError {
  if (error instanceof AlbertNerError) return error;
  if (error instanceof Error) {
    const { code, details } = error as Error & { code?: unknown; details?: ErrorDetails };
    if (CODES.has(code))
      return new AlbertNerError(code as ErrorCode, error.message, { details, cause: error });
    if (SYSTEM_FAULTS.has(code)) {
      const { path: file } = error as { path?: unknown };
      return new AlbertNerError('ERR_IO', error.message, { details: { file, reason: code }, cause: error });
    }
    return new AlbertNerError('ERR_INTERNAL', error.message, { cause: error });
  }
  return new AlbertNerError('ERR_INTERNAL', String(error), { cause: error });
}
