/** What tests of checkpoint readers share: reading everything, and refusals. */

import type { ExecutionContext } from 'ava';
import { type Checkpoint, closeCheckpoint } from '../../albert/convert/stored-tensor.js';
import { TensorReader } from '../../albert/convert/tensor-stream.js';
import { AlbertNerError } from '../../lib/errors.js';

export interface ReadTensorValues {
  dtype: string;
  shape: number[];
  values: number[];
}

/** Opens a checkpoint, reads its floating tensors and closes it. */
export async function readAll(open: Promise<Checkpoint>): Promise<Map<string, ReadTensorValues>> {
  const checkpoint = await open;
  try {
    const reader = new TensorReader();
    const read = new Map<string, ReadTensorValues>();
    for (const tensor of checkpoint.tensors) {
      const { name, dtype, shape } = tensor;
      const values = /^B?F\d+$/.test(dtype) ? Array.from(await reader.values(tensor)) : [];
      read.set(name, { dtype, shape: [...shape], values });
    }
    return read;
  } finally {
    await closeCheckpoint(checkpoint);
  }
}

/** Asserts that reading fails with the reason, ERR_CHECKPOINT_UNREADABLE and a byte offset. */
export async function assertRefused(
  t: ExecutionContext,
  reading: Promise<unknown>,
  reason: string,
): Promise<AlbertNerError> {
  const error = (await t.throwsAsync(reading, { instanceOf: AlbertNerError })) as AlbertNerError;
  t.is(error.details.reason, reason, error.message);
  t.is(error.code, 'ERR_CHECKPOINT_UNREADABLE', error.message);
  t.is(typeof error.details.byteOffset, 'number', error.message);
  t.is(typeof error.details.file, 'string');
  return error;
}

/** 0.5, 1.5, 2.5 and so on: each exact in every floating type while it is small, and no two equal. */
export function ramp(count: number, first = 0.5): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => first + index);
}
