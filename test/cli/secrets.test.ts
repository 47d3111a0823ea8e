/** The real binary neither prints nor stores secrets in URLs. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../files.ts';
import { serve } from '../services/http.ts';
import { taxiflow } from '../taxiflow.ts';
import { PARALLEL, YELLOW } from './model.ts';

const SECRET = 'hush4711';

/** All bytes under a folder. */
function everything(folder: string): string {
  return (readdirSync(folder, { recursive: true }) as string[])
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n');
}

const AWS = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' };

describe('secrets in URLs', PARALLEL, () => {
  it('are printed and stored by no command, whether the server is unreachable, refuses or answers', async (t) => {
    const cwd = temporaryFolder(t);
    // A server that repeats the request in its answer.
    const { port } = await serve(t, ({ path }) => ({
      status: 400,
      body: { error: { reason: `no [${path}]` } },
    }));
    await taxiflow(['replay', YELLOW, '--speedup', 'max'], { cwd });
    const urls = (host: string) => [
      `http://${host}/?token=${SECRET}`,
      `http://${host}/path?${SECRET}#x`,
      `http://${host}/#${SECRET}`,
      `http://user:${SECRET}@${host}/`,
      `ftp://${host}/?t=${SECRET}`,
    ];
    const commands: ((url: string) => string[])[] = [
      (url) => ['doctor', '--opensearch', url, '--json'],
      (url) => ['doctor', '--opensearch', url, '--insecure'],
      (url) => ['es-setup', '--endpoint', url, '--check', '--json'],
      (url) => ['es-setup', '--endpoint', 'http://127.0.0.1:9', '--dashboards', url],
      (url) => ['stream', 'describe', 'kinesis:x', '--endpoint-url', url],
      (url) => ['stream', 'autoscale', 'kinesis:x', '--once', '--endpoint-url', url],
      (url) => ['process', '--stream', 'x', '--until-end', '--endpoint-url', url],
      (url) => ['replay', url],
      (url) => ['replay', YELLOW, '--stream', url],
      (url) => ['replay', `s3://b/x?X-Amz-Signature=${SECRET}`, '--endpoint-url', url],
      (url) => ['dashboard', '--tiles', url, '--port', '0'],
      (url) => [url],
      (url) => ['process', url],
    ];
    // Each command with three of the forms, against an unreachable server and against one that answers.
    for (const [i, command] of commands.entries()) {
      const asked = [0, 1, 2].map((k) =>
        command(urls(k === i % 3 ? '127.0.0.1:9' : `127.0.0.1:${port}`)[(i + 2 * k) % 5]!),
      );
      for (const args of [...asked, ...(i < 4 ? [command(`127.0.0.1:${port}/?t=${SECRET}`)] : [])]) {
        const { stdout, stderr } = await taxiflow(args, { cwd, env: AWS });
        assert.ok(!`${stdout}${stderr}`.includes(SECRET), `${args.join(' ')}: ${stdout}${stderr}`);
      }
    }
    const url = `http://127.0.0.1:${port}/?token=${SECRET}`;
    const ran = await taxiflow(['process', '--until-end', '--opensearch', url, '--json'], { cwd });
    assert.equal(ran.code, 1, ran.stderr);
    const status = await taxiflow(['status', '--json'], { cwd });
    const letters = await taxiflow(['dead-letters'], { cwd });
    const said = [ran, status, letters].map(({ stdout, stderr }) => stdout + stderr).join('\n');
    assert.ok(!said.includes(SECRET), said);
    assert.match(status.stdout, /opensearch http:\/\/127\.0\.0\.1/);
    assert.ok(!everything(cwd).includes(SECRET), 'nor is it in any file');
    assert.ok(everything(cwd).includes('opensearch http://127.0.0.1'), 'the name of the sink is');
  });
});
