/** An encoder named on the command line or in a config: a checkpoint of another program is converted on first use. */

import { bytesProgress } from './pretrain-progress.js';
import type { CommandContext } from './run.js';

/** The encoder folder to use. */
export async function encoderFolder(path: string, { progress, signal }: CommandContext): Promise<string> {
  const { provideEncoder } = await import('../model/provide-encoder.js');
  const onProgress = bytesProgress(progress, 'convert');
  const { folder, report } = await provideEncoder(path, { signal, onProgress });
  if (report) progress.message(`converted ${path} (${report.format}, ${report.encoder.layout}) to ${folder}`);
  for (const warning of report?.warnings ?? []) progress.message(`warning: ${warning}`);
  return folder;
}
