/** float32 matrices to int8 with one scale per row: the most compact way weights are stored. */

/** What the scales of a tensor are called, after its own name. */
export const SCALE_SUFFIX = '.scale';

const LARGEST = 127;

export interface QuantizedRows {
  /** As many as there were values. */
  values: Int8Array;
  /** [rows]: a row's values times its scale are nearest to what they were. */
  scales: Float32Array;
}

/** Symmetric: the largest magnitude of a row becomes 127, zero stays zero. */
export function quantizeRows(data: Float32Array, rows: number): QuantizedRows {
  const width = rows === 0 ? 0 : data.length / rows;
  const values = new Int8Array(data.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const begin = row * width;
    let largest = 0;
    for (let k = begin; k < begin + width; k += 1) largest = Math.max(largest, Math.abs(data[k]));
    scales[row] = largest / LARGEST;
    if (largest === 0) continue;
    for (let k = begin; k < begin + width; k += 1) values[k] = Math.round(data[k] / scales[row]);
  }
  return { values, scales };
}
