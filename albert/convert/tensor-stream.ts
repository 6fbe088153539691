/**
 * Values of a stored tensor as a stream of row-major float32 blocks, whatever its strides, pieces and type.
 *
 * A block is a few rows. What is not stored in that order is gathered: for each block the file is read once more, in
 * chunks, and the elements of the block are picked out. So memory is bounded by one block and one chunk, however large
 * the tensor is; what is read again comes from the page cache.
 */

import { AlbertNerError } from '../../lib/errors.js';
import { type FloatDtype, isFloat, itemSizeOf, toValues } from './dtypes.js';
import { elementCount, rowMajor, type StoredTensor, type TensorPiece } from './stored-tensor.js';

const BLOCK_BYTES = 64 << 20;
const CHUNK_BYTES = 8 << 20;
/** Bytes of a float32 in a block. */
const BLOCK_ITEM_BYTES = 4;

export interface ReadTensorOptions {
  /** Let NaN and infinity pass. Default false: they are refused. */
  allowNonFinite?: boolean;
}

/**
 * Buffers for reading tensors one after the other. A block is valid until the next one is asked for.
 *
 * Reading rejects with ERR_CHECKPOINT_MISMATCH for a type that isn't floating; with ERR_CHECKPOINT_UNREADABLE:
 * E_NONFINITE, E_TENSOR_BOUNDS (elements that share memory, rows too long to gather), E_TRUNCATED.
 */
export class TensorReader {
  private block = new Float32Array(0);
  private chunk = Buffer.alloc(0);

  async *blocks(
    tensor: StoredTensor,
    { allowNonFinite = false }: ReadTensorOptions = {},
  ): AsyncGenerator<Float32Array> {
    const { dtype, shape } = tensor;
    if (!isFloat(dtype)) {
      throw new AlbertNerError(
        'ERR_CHECKPOINT_MISMATCH',
        `Expected a floating type for ${tensor.name} but received ${dtype}`,
        { details: { file: tensor.pieces[0]?.file.path, tensor: tensor.name, reason: 'E_DTYPE' } },
      );
    }
    if (elementCount(shape) === 0) return;
    await tensor.verify?.();
    const blocks = isDense(tensor) ? this.denseBlocks(tensor, dtype) : this.gatheredBlocks(tensor, dtype);
    let first = 0;
    for await (const block of blocks) {
      if (!allowNonFinite) checkFinite(block, tensor, first);
      first += block.length;
      yield block;
    }
  }

  /** The whole tensor; for small ones. */
  async values(tensor: StoredTensor, options?: ReadTensorOptions): Promise<Float32Array> {
    const values = new Float32Array(elementCount(tensor.shape));
    let at = 0;
    for await (const block of this.blocks(tensor, options)) {
      values.set(block, at);
      at += block.length;
    }
    return values;
  }

  private async *denseBlocks(
    { pieces: [piece] }: StoredTensor,
    dtype: FloatDtype,
  ): AsyncGenerator<Float32Array> {
    const itemSize = itemSizeOf(dtype) as number;
    const end = piece.byteOffset + elementCount(piece.shape) * itemSize;
    for (let position = piece.byteOffset; position < end; position += CHUNK_BYTES) {
      const values = await this.read(piece, dtype, position, Math.min(CHUNK_BYTES, end - position));
      yield values instanceof Float32Array ? values : Float32Array.from(values);
    }
  }

  private async *gatheredBlocks(tensor: StoredTensor, dtype: FloatDtype): AsyncGenerator<Float32Array> {
    const shape = tensor.shape.length === 0 ? [1] : tensor.shape;
    const rowElements = elementCount(shape.slice(1));
    if (rowElements * BLOCK_ITEM_BYTES > BLOCK_BYTES) throw tooWide(tensor);
    const rows = Math.min(shape[0], Math.max(1, Math.floor(BLOCK_BYTES / BLOCK_ITEM_BYTES / rowElements)));
    for (let row = 0; row < shape[0]; row += rows) {
      const count = Math.min(rows, shape[0] - row);
      const block = this.blockOf(count * rowElements);
      for (const piece of tensor.pieces) await this.gather(tensor, piece, dtype, { row, count, block });
      yield block;
    }
  }

  private blockOf(elements: number): Float32Array {
    if (this.block.length < elements) this.block = new Float32Array(elements);
    return this.block.subarray(0, elements);
  }

  private async read(
    { file }: TensorPiece,
    dtype: FloatDtype,
    position: number,
    length: number,
  ): Promise<Float32Array | Float64Array> {
    // A slice of the pool wouldn't be aligned.
    if (this.chunk.length < length) this.chunk = Buffer.from(new ArrayBuffer(length));
    const bytes = this.chunk.subarray(0, length);
    await file.read(bytes, position);
    return toValues(bytes, dtype);
  }

  /** Copies what a piece has of some rows of the tensor to their block. */
  private async gather(
    tensor: StoredTensor,
    piece: TensorPiece,
    dtype: FloatDtype,
    rows: BlockRows,
  ): Promise<void> {
    const box = intersect(tensor, piece, rows);
    if (box === null) return;
    const itemSize = itemSizeOf(dtype) as number;
    const slowest = box.strides.indexOf(Math.max(...box.strides));
    /** Elements from the first to the last one at one place of the slowest dimension. */
    const span =
      1 +
      box.strides.reduce(
        (sum, stride, dim) => sum + (dim === slowest ? 0 : (box.shape[dim] - 1) * stride),
        0,
      );
    checkNoOverlap(tensor, piece);
    if (span * itemSize > BLOCK_BYTES) throw tooWide(tensor);
    const stride = box.strides[slowest];
    const perChunk = Math.max(1, 1 + Math.floor((CHUNK_BYTES / itemSize - span) / Math.max(stride, 1)));
    for (let from = 0; from < box.shape[slowest]; from += perChunk) {
      const count = Math.min(perChunk, box.shape[slowest] - from);
      const elements = (count - 1) * stride + span;
      const position = piece.byteOffset + (box.source + from * stride) * itemSize;
      const values = await this.read(piece, dtype, position, elements * itemSize);
      const part = { ...box, shape: box.shape.with(slowest, count), source: 0 };
      copyBox(values, rows.block, { ...part, target: box.target + from * box.targetStrides[slowest] });
    }
  }
}

/** Rows of the tensor from `row` on and the block they make. */
interface BlockRows {
  row: number;
  count: number;
  block: Float32Array;
}

/** Elements to copy: first element and strides in source and target. */
interface CopyBox {
  shape: number[];
  source: number;
  strides: number[];
  target: number;
  targetStrides: number[];
}

/** The part of a piece within some rows; null when there is none. */
function intersect(tensor: StoredTensor, piece: TensorPiece, { row, count }: BlockRows): CopyBox | null {
  const scalar = tensor.shape.length === 0;
  const [shape, start, strides] = scalar
    ? [[1], [0], [1]]
    : [[...piece.shape], piece.start, [...piece.strides]];
  const first = Math.max(row, start[0]);
  const end = Math.min(row + count, start[0] + shape[0]);
  if (first >= end || shape.includes(0)) return null;
  const source = (first - start[0]) * strides[0];
  shape[0] = end - first;
  const targetStrides = rowMajor(scalar ? [1] : tensor.shape);
  const target = start.reduce((sum, at, dim) => sum + (dim === 0 ? first - row : at) * targetStrides[dim], 0);
  return { shape, source, strides, target, targetStrides };
}

/** Side of the tiles in which two dimensions are copied, so that a cache line is used up before it is lost. */
const TILE = 64;

function copyBox(from: Float32Array | Float64Array, to: Float32Array, box: CopyBox): void {
  const { shape, strides, targetStrides } = box;
  const rank = shape.length;
  if (rank === 1) {
    copyPlane(from, to, {
      ...box,
      shape: [1, ...shape],
      strides: [0, ...strides],
      targetStrides: [0, ...targetStrides],
    });
    return;
  }
  const outer = shape.slice(0, rank - 2);
  const index = outer.map(() => 0);
  let { source, target } = box;
  for (;;) {
    copyPlane(from, to, {
      shape: shape.slice(-2),
      source,
      strides: strides.slice(-2),
      target,
      targetStrides: targetStrides.slice(-2),
    });
    let dim = outer.length - 1;
    for (; dim >= 0; dim -= 1) {
      index[dim] += 1;
      source += strides[dim];
      target += targetStrides[dim];
      if (index[dim] < outer[dim]) break;
      source -= index[dim] * strides[dim];
      target -= index[dim] * targetStrides[dim];
      index[dim] = 0;
    }
    if (dim < 0) return;
  }
}

function copyPlane(from: Float32Array | Float64Array, to: Float32Array, plane: CopyBox): void {
  const { shape, source, strides, target, targetStrides } = plane;
  const [rows, columns] = shape;
  const [rowStride, columnStride] = strides;
  const [targetRow, targetColumn] = targetStrides;
  for (let rowTile = 0; rowTile < rows; rowTile += TILE) {
    const rowEnd = Math.min(rowTile + TILE, rows);
    for (let columnTile = 0; columnTile < columns; columnTile += TILE) {
      const columnEnd = Math.min(columnTile + TILE, columns);
      for (let row = rowTile; row < rowEnd; row += 1) {
        let read = source + row * rowStride + columnTile * columnStride;
        let write = target + row * targetRow + columnTile * targetColumn;
        for (let column = columnTile; column < columnEnd; column += 1) {
          to[write] = from[read];
          read += columnStride;
          write += targetColumn;
        }
      }
    }
  }
}

/** One piece in row-major order: it can be read as it lies. */
function isDense({ shape, pieces }: StoredTensor): boolean {
  if (pieces.length !== 1) return false;
  const expected = rowMajor(shape);
  return pieces[0].strides.every((stride, dim) => shape[dim] === 1 || stride === expected[dim]);
}

/** Slower dimensions must step over all of the faster ones; no tensor of a model shares elements with itself. */
function checkNoOverlap(tensor: StoredTensor, { file, byteOffset, shape, strides }: TensorPiece): void {
  const order = strides.map((_, dim) => dim).sort((a, b) => strides[a] - strides[b]);
  let extent = 0;
  for (const dim of order) {
    if (shape[dim] === 1) continue;
    if (strides[dim] <= extent) {
      throw file.refusal('E_TENSOR_BOUNDS', `elements of ${tensor.name} share memory`, byteOffset, {
        tensor: tensor.name,
      });
    }
    extent += (shape[dim] - 1) * strides[dim];
  }
}

function tooWide(tensor: StoredTensor): AlbertNerError {
  const { file, byteOffset } = tensor.pieces[0];
  const what = `a row of ${tensor.name} with the shape [${tensor.shape.join(', ')}] is too long`;
  return file.refusal('E_TENSOR_BOUNDS', what, byteOffset, { tensor: tensor.name });
}

function checkFinite(block: Float32Array, tensor: StoredTensor, first: number): void {
  // A sum is finite when all its terms are, as float64 is so much wider; and fast.
  let sum = 0;
  for (let k = 0; k < block.length; k += 1) sum += block[k];
  if (Number.isFinite(sum)) return;
  const at = block.findIndex((value) => !Number.isFinite(value));
  const { file, byteOffset } = placeOf(tensor, first + at);
  throw file.refusal('E_NONFINITE', `${tensor.name} holds ${block[at]} as float32`, byteOffset, {
    tensor: tensor.name,
  });
}

/** Where an element of a tensor lies. */
function placeOf(tensor: StoredTensor, element: number) {
  const itemSize = itemSizeOf(tensor.dtype) as number;
  const whole = rowMajor(tensor.shape);
  const index = tensor.shape.map((size, dim) => Math.floor(element / whole[dim]) % size);
  const piece = tensor.pieces.find(({ start, shape }) =>
    index.every((at, dim) => at >= start[dim] && at < start[dim] + shape[dim]),
  ) as TensorPiece;
  const offset = index.reduce((sum, at, dim) => sum + (at - piece.start[dim]) * piece.strides[dim], 0);
  return { file: piece.file, byteOffset: piece.byteOffset + offset * itemSize };
}
