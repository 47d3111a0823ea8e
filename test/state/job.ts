/** Runs of a job over the embedded stream of a folder. */
import { openProcessor } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import type { View } from '../../src/views/language.ts';

/** Processes what the stream has by now; returns the notes of the run. */
export async function runJob(
  dataDir: string,
  app: string,
  views: readonly View[],
  more: Partial<ProcessorOptions> = {},
): Promise<string[]> {
  const notes: string[] = [];
  const processor = await openProcessor({
    dataDir,
    app,
    views,
    untilEnd: true,
    onNote: (note) => notes.push(note),
    ...more,
  });
  await processor.run();
  return notes;
}
