/** An emulator of Kinesis from npm that also changes the number of shards, as a process of its own. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { ROOT } from '../files.ts';
import { answers, freePort, kill } from './service.ts';

/** Starts an empty one on a free port; it stops with the test. Throws if it doesn't answer. */
export async function startKinesisLocal(
  t: Pick<TestContext, 'after'>,
): Promise<{ endpoint: string; env: Record<string, string> }> {
  const [plain, tls] = [await freePort(), await freePort()];
  const main = createRequire(import.meta.url).resolve('kinesis-local');
  const child = spawn(process.execPath, ['-r', join(ROOT, 'test', 'services', 'loopback.cjs'), main], {
    // Its certificate lies beside it.
    cwd: dirname(main),
    stdio: 'ignore',
    env: {
      ...process.env,
      KINESIS_MOCK_PLAIN_PORT: String(plain),
      KINESIS_MOCK_TLS_PORT: String(tls),
      SHARD_LIMIT: '1000',
      LOG_LEVEL: 'ERROR',
      ...Object.fromEntries(
        ['CREATE_STREAM', 'UPDATE_SHARD_COUNT', 'MERGE_SHARDS', 'SPLIT_SHARD'].map((name) => [
          `${name}_DURATION`,
          '5ms',
        ]),
      ),
    },
  });
  t.after(() => kill(child));
  const endpoint = `http://127.0.0.1:${plain}`;
  await answers(`${endpoint}/healthcheck`, child);
  return {
    endpoint,
    env: { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
  };
}
