import { EXIT } from '../../errors.ts';
import { listJobs } from '../../status/jobs.ts';
import type { JobSummary } from '../../status/model.ts';
import type { AppsArguments } from '../commands/apps.ts';
import { formatted, isoOrNull, isoShort, printJson, say, write } from '../terminal.ts';

export async function apps({ dataDir, json }: AppsArguments): Promise<number> {
  const found = listJobs(dataDir);
  if (json) printJson({ command: 'apps', apps: found.map(asJson) });
  else if (found.length > 0) await write(formatted(found.map(asRow), 'table'));
  if (found.length === 0) say(`no processor has run in ${dataDir} yet`);
  return EXIT.done;
}

function asJson({ app, stream, running, watermark, results, checkpointAt, trouble }: JobSummary) {
  return {
    app,
    stream,
    running,
    watermark: isoOrNull(watermark),
    results,
    checkpoint_at: isoOrNull(checkpointAt),
    trouble,
  };
}

function asRow({ app, stream, running, watermark, results, checkpointAt, trouble }: JobSummary) {
  return {
    app,
    stream: stream ?? '–',
    state: trouble ?? (running ? 'running' : 'stopped'),
    watermark: isoShort(watermark ?? Number.NaN),
    results: results ?? 0,
    'last checkpoint': isoShort(checkpointAt ?? Number.NaN),
  };
}
