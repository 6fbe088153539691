/** Files as they are or compressed with gzip or xz, by the ending of their names, as streams of bytes. */

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** The file's bytes, decompressed. `onBytes` is called with the number of bytes read of the file itself so far. */
export async function openDecompressed(
  file: string,
  onBytes: (bytes: number) => void = () => {},
): Promise<AsyncIterable<Uint8Array>> {
  const source = createReadStream(file, { highWaterMark: 1 << 18 });
  let bytes = 0;
  source.on('data', (chunk) => {
    bytes += chunk.length;
    onBytes(bytes);
  });
  source.pause();
  if (file.endsWith('.gz')) {
    const unpacked = createGunzip();
    source.on('error', (error) => unpacked.destroy(error));
    return source.pipe(unpacked);
  }
  if (file.endsWith('.xz')) {
    const { default: xz } = await import('xz-decompress');
    return Readable.fromWeb(new xz.XzReadableStream(Readable.toWeb(source) as never) as never);
  }
  return source;
}
