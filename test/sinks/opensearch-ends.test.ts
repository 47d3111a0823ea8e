/** The end of a run whose server accepts nothing: the real binary against servers that hang, trickle, refuse and delay. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { fixture, temporaryFolder } from '../files.ts';
import { Line } from '../golden/line.ts';
import { serve } from '../services/http.ts';
import { freePort } from '../services/service.ts';
import { following, taxiflow } from '../taxiflow.ts';

/** A server that takes connections and does with each as it likes. */
async function listening(t: TestContext, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const SERVERS: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
  'says nothing': (t) => listening(t, () => {}),
  'answers byte by byte, without end': (t) =>
    listening(t, (socket) => {
      socket.once('data', () =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"a":"'),
      );
      const timer = setInterval(() => socket.write('x'), 50);
      socket.on('close', () => clearInterval(timer));
    }),
  'is unavailable and asks for an hour': async (t) =>
    (await serve(t, () => ({ status: 503, headers: { 'retry-after': '3600' } }))).url,
  'is not there': async () => `http://127.0.0.1:${await freePort()}`,
  'closes every connection': (t) => listening(t, (socket) => socket.destroy()),
};

async function lineWithOutput(t: TestContext): Promise<{ folder: string; flow: (url: string) => string[] }> {
  const line = new Line(temporaryFolder(t), [fixture('yellow-2015.csv')], 2);
  await line.replay();
  const flow = (url: string) => [
    ...['process', '--data-dir', line.folder, '--until-end', '--drain', '--opensearch', url],
  ];
  return { folder: line.folder, flow };
}

for (const [what, start] of Object.entries(SERVERS)) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`${signal} in the last delivery ends with 130 where the server ${what}`, async (t) => {
      const { folder, flow } = await lineWithOutput(t);
      let kill = (_signal: NodeJS.Signals) => {};
      let answered = '';
      const run = taxiflow(flow(await start(t)), {
        onStart: (child) => {
          kill = (signal) => child.kill(signal);
          child.stderr?.on('data', (chunk: Buffer) => {
            answered += chunk;
          });
        },
      });
      // Everything is processed; only the delivery is left.
      for (;;) {
        const status = await taxiflow(['status', '--data-dir', folder, '--json']);
        const { totals, sinks = [] } = status.code === 0 ? status.json<Status>() : {};
        if ((totals?.results ?? 0) > 0 && sinks.some(({ pending }) => pending === totals?.results)) break;
      }
      kill(signal);
      const { code, stderr } = await run;
      assert.equal(code, 130, answered);
      assert.doesNotMatch(stderr, /Error:/, 'an interruption is no failure');
      assert.match(stderr, /[1-9][\d,]* behind; the next run continues from there/);
    });
  }
}

interface Status {
  readonly totals: { readonly results: number };
  readonly sinks: readonly { readonly pending: number; readonly trouble: string; readonly since: string }[];
}

it('waiting results are reported at once, with time and reason, on stderr and in status', async (t) => {
  const { url } = await serve(t, ({ path }) =>
    path === '/'
      ? { body: { version: { distribution: 'opensearch', number: '3.8.0' } } }
      : { status: 503, headers: { 'retry-after': '3600' }, body: { error: { reason: 'not yet' } } },
  );
  const { folder, flow } = await lineWithOutput(t);
  const process = following(t, flow(url));
  await process.until('it is told', () => /results wait since/.test(process.said()));
  const [, since = '', why = ''] =
    /results wait since (\S+): (.*); \S+ results? behind/.exec(process.said()) ?? [];
  assert.ok(Math.abs(Date.parse(since) - Date.now()) < 600_000, since);
  assert.match(why, /503.*not yet/);
  await process.until('status has it', async () => {
    const ran = await taxiflow(['status', '--data-dir', folder, '--json']);
    const [sink] = ran.code === 0 ? ran.json<Status>().sinks : [];
    return sink?.since === since && /503.*not yet/.test(sink.trouble);
  });
  const told = await taxiflow(['status', '--data-dir', folder]);
  assert.match(told.stdout, new RegExp(`waiting since ${since}: .*503`));
  assert.equal((await process.interrupt()).code, 130);
  // Once, and once more that the run will end with it.
  const lines = process
    .said()
    .split('\n')
    .filter((line) => line.includes('results wait since'));
  assert.equal(lines.filter((line) => !line.includes('a minute without progress')).length, 1, process.said());
});

it('a sink that fails ends the run with its error, not with silence', async (t) => {
  const { url } = await serve(t, ({ method, path }) => {
    if (path === '/') return { body: { version: { distribution: 'opensearch', number: '3.8.0' } } };
    return { status: method === 'GET' ? 404 : 401, body: { error: { reason: 'who are you' } } };
  });
  const { flow } = await lineWithOutput(t);
  const { code, stderr } = await taxiflow(flow(url));
  assert.equal(code, 1, stderr);
  assert.match(stderr, /Error: .*wants to know who asks/);
});

it('a command with nothing left to wait for and no outcome is an error', async (t) => {
  // Requests that never settle, and timers that don't keep the process alive.
  const preload = join(temporaryFolder(t), 'inert.mjs');
  writeFileSync(
    preload,
    `import http from 'node:http';
     import { EventEmitter } from 'node:events';
     const later = globalThis.setTimeout;
     globalThis.setTimeout = (...args) => later(...args).unref();
     http.request = () => Object.assign(new EventEmitter(), { setNoDelay() {}, end() {}, destroy() {}, abort() {} });`,
  );
  const { code, stderr } = await taxiflow(['es-setup', '--endpoint', 'http://127.0.0.1:9200'], {
    node: ['--import', preload],
  });
  assert.equal(code, 1, stderr);
  assert.match(stderr, /Error: the command stopped before it was done.*\nTry: /);
});
