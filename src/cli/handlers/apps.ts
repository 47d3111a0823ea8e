import { EXIT } from '../../errors.ts';
import { listApps } from '../../state/apps.ts';
import { JobWatch } from '../../status/job-watch.ts';
import type { JobStatus } from '../../status/model.ts';
import type { AppsArguments } from '../commands/apps.ts';
import { formatted, isoOrNull, isoShort, printJson, say, write } from '../terminal.ts';

export async function apps({ dataDir, json }: AppsArguments): Promise<number> {
  const found = listApps(dataDir).map((app) => statusOf(dataDir, app));
  if (json) printJson({ command: 'apps', apps: found.map(asJson) });
  else if (found.length > 0) await write(formatted(found.map(asRow), 'table'));
  if (found.length === 0) say(`no processor has run in ${dataDir} yet`);
  return EXIT.done;
}

function statusOf(dataDir: string, app: string): JobStatus {
  const watch = new JobWatch({ dataDir, app, now: Date.now });
  try {
    watch.look();
    return watch.status();
  } finally {
    watch.close();
  }
}

function asJson({ app, stream, running, watermark, totals, checkpoint, trouble }: JobStatus) {
  return {
    app,
    stream: stream ?? null,
    running,
    watermark: isoOrNull(watermark),
    results: totals?.results ?? null,
    checkpoint_at: isoOrNull(checkpoint?.at),
    trouble: trouble?.message ?? null,
  };
}

function asRow({ app, stream, running, watermark, totals, checkpoint, trouble }: JobStatus) {
  return {
    app,
    stream: stream ?? '–',
    state: trouble ? trouble.message : running ? 'running' : 'stopped',
    watermark: isoShort(watermark ?? Number.NaN),
    results: totals?.results ?? 0,
    'last checkpoint': isoShort(checkpoint?.at ?? Number.NaN),
  };
}
