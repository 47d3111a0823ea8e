/** The thread that makes Parquet files, so that the processor goes on meanwhile. */
import { parentPort } from 'node:worker_threads';
import { toPlainError } from '../../errors.ts';
import { dayFiles } from './files.ts';
import type { Said } from './thread.ts';

parentPort!.on('message', (chunks: readonly Uint8Array[]) => {
  parentPort!.postMessage(said(chunks));
});

function said(chunks: readonly Uint8Array[]): Said {
  try {
    return { files: dayFiles(chunks) };
  } catch (error) {
    return { error: toPlainError(error) };
  }
}
