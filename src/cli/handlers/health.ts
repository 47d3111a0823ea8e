/** `taxiflow status --max-age`. */
import { EXIT, usageError } from '../../errors.ts';
import { checkHealth } from '../../status/health.ts';
import type { StatusArguments } from '../commands/status.ts';
import { printJson, show, span, thousands } from '../terminal.ts';

export async function health({ dataDir, app, watch, json, maxAge }: StatusArguments): Promise<number> {
  if (watch) throw usageError('--max-age looks once, and --watch goes on', 'omit one of them');
  const now = Date.now();
  const found = checkHealth({ dataDir, app, maxAge: maxAge!, now });
  const { checkpoint, standby } = found;
  const age = checkpoint && Math.max(0, now - checkpoint.at);
  if (json)
    printJson({
      command: 'status',
      app: found.app,
      healthy: true,
      standby,
      checkpoint: checkpoint
        ? { number: checkpoint.number, at: new Date(checkpoint.at).toISOString(), age_ms: age }
        : null,
    });
  else
    show(
      checkpoint
        ? `app "${found.app}" is healthy: checkpoint ${thousands(checkpoint.number)}, ${span(age!)} old\n`
        : `app "${found.app}" is healthy: it waits as a standby\n`,
    );
  return EXIT.done;
}
