/** What every reader of checkpoints returns: tensors with the places of their elements, nothing of which is read yet. */

import type { CheckpointFile } from './checkpoint-file.js';

/** A box of a tensor and where its elements lie. */
export interface TensorPiece {
  file: CheckpointFile;
  /** Of the element at the box's first corner, from the start of the file. */
  byteOffset: number;
  /** The box's first corner in the tensor. */
  start: readonly number[];
  /** The box's size. */
  shape: readonly number[];
  /** Elements between neighbours, by dimension. */
  strides: readonly number[];
}

export interface StoredTensor {
  name: string;
  dtype: string;
  shape: readonly number[];
  /** Boxes that make up the tensor without gap or overlap; one, unless it was stored in parts. */
  pieces: readonly TensorPiece[];
  /** Compares stored bytes with their checksums, where the format has them. Call it once before reading. */
  verify?: () => Promise<void>;
}

export type CheckpointFormat = 'tensorflow' | 'pytorch-zip' | 'pytorch-legacy' | 'safetensors';

/** An open checkpoint. Whoever opened it closes it. */
export interface Checkpoint {
  format: CheckpointFormat;
  /** As the user names it: a file, or the prefix of a bundle. */
  path: string;
  /** Whose content the weights are. */
  files: readonly CheckpointFile[];
  /** In file order. */
  tensors: readonly StoredTensor[];
  /** Of the file itself, where the format has such; else empty. */
  metadata: ReadonlyMap<string, string>;
  warnings: readonly string[];
}

export async function closeCheckpoint({ files }: Pick<Checkpoint, 'files'>): Promise<void> {
  for (const file of files) await file.close();
}

/** Strides of a dense row-major tensor. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let dim = shape.length - 1; dim >= 0; dim -= 1) {
    strides[dim] = stride;
    stride *= Math.max(shape[dim], 1);
  }
  return strides;
}

/** A whole tensor in one place. */
export function densePiece(file: CheckpointFile, byteOffset: number, shape: readonly number[]): TensorPiece {
  return { file, byteOffset, start: shape.map(() => 0), shape, strides: rowMajor(shape) };
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The same elements with rows and columns swapped; nothing moves. */
export function transposed(tensor: StoredTensor): StoredTensor {
  const swap = (values: readonly number[]) => [...values].reverse();
  return {
    ...tensor,
    shape: swap(tensor.shape),
    pieces: tensor.pieces.map((piece) => ({
      ...piece,
      start: swap(piece.start),
      shape: swap(piece.shape),
      strides: swap(piece.strides),
    })),
  };
}
