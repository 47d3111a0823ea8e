/** Signed requests, against an independent check of AWS Signature Version 4. */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { describe, type TestContext, test } from 'node:test';
import { connect } from '../../src/opensearch/connection.ts';
import { carryOut } from '../../src/opensearch/plan.ts';
import { planSetup, reach } from '../../src/opensearch/setup.ts';
import { planDelete } from '../../src/opensearch/teardown.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { TestClock } from '../clock.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { Line } from '../golden/line.ts';
import { randomNumbers } from '../random.ts';
import { startDashboards } from '../services/dashboards.ts';
import { type Asked, emptyOpenSearch, type Server, serve } from '../services/http.ts';
import { refusal, type Scope } from '../services/sigv4.ts';
import { answerOverHttp, ModelServer } from '../sinks/opensearch-model.ts';
import { taxiflow } from '../taxiflow.ts';

const SECRET = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: 'a/session+token==',
};
const ENV = {
  AWS_ACCESS_KEY_ID: SECRET.accessKeyId,
  AWS_SECRET_ACCESS_KEY: SECRET.secretAccessKey,
  AWS_SESSION_TOKEN: SECRET.sessionToken,
  AWS_REGION: 'eu-central-1',
  AWS_EC2_METADATA_DISABLED: 'true',
};

describe('the check itself', () => {
  const { sessionToken: _, ...secret } = SECRET;
  /** The example of AWS's own documentation. */
  const example: Asked = {
    method: 'GET',
    path: '/?Action=ListUsers&Version=2010-05-08',
    headers: {
      host: 'iam.amazonaws.com',
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      'x-amz-date': '20150830T123600Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
    },
    body: Buffer.alloc(0),
  };
  const scope: Scope = { region: 'us-east-1', service: 'iam', now: Date.parse('2015-08-30T12:36:00Z') };

  test('the published example is true', () => {
    assert.equal(refusal(example, secret, scope), undefined);
  });

  const tampered: Record<string, Partial<Asked>> = {
    method: { method: 'POST' },
    path: { path: '/x?Action=ListUsers&Version=2010-05-08' },
    query: { path: '/?Action=ListUsers&Version=2010-05-09' },
    'signed header': { headers: { ...example.headers, host: 'iam.example.com' } },
    'unsigned header of AWS': { headers: { ...example.headers, 'x-amz-target': 'x' } },
    body: { body: Buffer.from('x') },
    time: { headers: { ...example.headers, 'x-amz-date': '20150830T123601Z' } },
    'no signature': { headers: { ...example.headers, authorization: undefined } },
  };
  for (const [what, change] of Object.entries(tampered)) {
    test(`tampered with: ${what}`, () => {
      assert.notEqual(refusal({ ...example, ...change }, secret, scope), undefined);
    });
  }

  test('another secret, region, service or hour', () => {
    assert.notEqual(refusal(example, { ...secret, secretAccessKey: 'x' }, scope), undefined);
    for (const other of [{ region: 'us-east-2' }, { service: 'es' }, { now: scope.now + 3_600_000 }])
      assert.notEqual(refusal(example, secret, { ...scope, ...other }), undefined, JSON.stringify(other));
  });
});

/** An OpenSearch that answers only what bears a true signature; a collection has nothing at its root. */
function guarded(t: TestContext, service: string, region: string, refused: string[]): Promise<Server> {
  return serve(t, (asked) => {
    const why = refusal(asked, SECRET, { region, service, now: Date.now() });
    if (why === undefined && service === 'aoss' && /^\/(_cluster.*|.*_refresh)?$/.test(asked.path))
      return { status: 404, body: { status: 404, error: { reason: '404 Not Found', type: 'NotFound' } } };
    if (why === undefined) return emptyOpenSearch(asked);
    refused.push(`${asked.method} ${asked.path}: ${why}`);
    return { status: 403, body: { message: why } };
  });
}

test('es-setup signs every request to a domain, for service es', async (t) => {
  const refused: string[] = [];
  const { url, asked } = await guarded(t, 'es', 'eu-central-1', refused);
  const { code, stderr } = await taxiflow(['es-setup', '--endpoint', url, '--aws-sigv4'], { env: ENV });
  assert.equal(code, 0, stderr);
  assert.deepEqual(refused, []);
  const methods = new Set(asked.map(({ method }) => method));
  assert.ok(methods.has('PUT') && methods.has('GET'), `reads and writes: ${[...methods]}`);
  assert.ok(
    asked.some(({ headers }) => headers['x-amz-security-token'] === SECRET.sessionToken),
    'with the token',
  );
});

test('process signs its packed bulk requests', async (t) => {
  const refused: string[] = [];
  const model = new ModelServer(randomNumbers(1));
  model.limit = Number.POSITIVE_INFINITY;
  const { url, asked } = await serve(t, async (request) => {
    const why = refusal(request, SECRET, { region: 'eu-central-1', service: 'es', now: Date.now() });
    if (why !== undefined) refused.push(`${request.method} ${request.path}: ${why}`);
    return answerOverHttp(model, request);
  });
  const folder = temporaryFolder(t);
  await new Line(folder, [fixture('yellow-2015.csv')], 2).replay();
  const args = [
    'process',
    '--data-dir',
    folder,
    '--opensearch',
    url,
    '--aws-sigv4',
    '--until-end',
    '--drain',
  ];
  const { code, stderr } = await taxiflow(args, { env: ENV });
  assert.equal(code, 0, stderr);
  assert.deepEqual(refused, []);
  assert.ok(
    asked.some(({ path }) => path.startsWith('/_bulk')),
    'a bulk request came',
  );
  assert.ok(model.documents.length > 0, 'documents arrived');
});

test('--region goes before the environment; a wrong one is told with what the server says', async (t) => {
  const refused: string[] = [];
  const { url } = await guarded(t, 'es', 'us-west-2', refused);
  const right = await taxiflow(['es-setup', '--endpoint', url, '--aws-sigv4', '--region', 'us-west-2'], {
    env: ENV,
  });
  assert.equal(right.code, 0, right.stderr);
  const wrong = await taxiflow(['es-setup', '--endpoint', url, '--aws-sigv4'], { env: ENV });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^Error: .*signed for eu-central-1\/es\nTry: .*--region/m);
});

test('Dashboards under a domain is signed too', async (t) => {
  const dashboards = await startDashboards(t, { basePath: '/_dashboards' });
  const refused: string[] = [];
  dashboards.instead = (asked) => {
    const why = refusal(asked, SECRET, { region: 'eu-central-1', service: 'es', now: Date.now() });
    if (why !== undefined) refused.push(why);
    return why === undefined ? undefined : { status: 403, body: { message: why } };
  };
  const { url } = await guarded(t, 'es', 'eu-central-1', refused);
  const args = ['es-setup', '--endpoint', url, '--dashboards', dashboards.url, '--aws-sigv4'];
  const { code, stderr } = await taxiflow(args, { env: ENV });
  assert.equal(code, 0, stderr);
  assert.deepEqual(refused, []);
  assert.equal(dashboards.objects.size, 5);
});

test('without credentials: what to do, and nothing sent', async (t) => {
  const { url, asked } = await serve(t, emptyOpenSearch);
  const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_SESSION_TOKEN: '', AWS_PROFILE: '' };
  const nowhere = { AWS_SHARED_CREDENTIALS_FILE: '/nonexistent', AWS_CONFIG_FILE: '/nonexistent' };
  const { code, stderr } = await taxiflow(['es-setup', '--endpoint', url, '--aws-sigv4'], {
    env: { ...ENV, ...none, ...nowhere },
  });
  assert.equal(code, 1);
  assert.match(stderr, /^Error: no AWS credentials were found\nTry: /m);
  assert.equal(asked.length, 0);
});

test('without a region: what to do', async () => {
  await assert.rejects(connect({ url: 'http://127.0.0.1:1', awsSigv4: true }, {}), { code: 'no-region' });
});

/** The name is Amazon's; the address is ours. */
function allNamesAreOurs(t: TestContext): void {
  t.mock.method(
    dns,
    'lookup',
    (_host: string, options: { all?: boolean }, done: (...results: unknown[]) => void) => {
      if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
      else done(null, '127.0.0.1', 4);
    },
  );
}

for (const [host, service, region] of [
  ['abc123.us-east-1.aoss.amazonaws.com', 'aoss', 'us-east-1'],
  ['abc123.us-east-1.aoss-fips.amazonaws.com', 'aoss', 'us-east-1'],
  ['abc123.aoss.us-east-1.on.aws', 'aoss', 'us-east-1'],
  ['abc123.aoss-fips.us-east-1.on.aws', 'aoss', 'us-east-1'],
  ['search-taxi-x1.us-east-1.es.amazonaws.com', 'es', 'us-east-1'],
  ['search-taxi-x1.cn-north-1.es.amazonaws.com.cn', 'es', 'cn-north-1'],
  ['search-taxi-x1.aos.us-east-1.on.aws', 'es', 'us-east-1'],
] as const) {
  test(`${host} is signed for ${service}, in its own region`, async (t) => {
    const refused: string[] = [];
    const { port, asked } = await guarded(t, service, region, refused);
    allNamesAreOurs(t);
    for (const [name, value] of Object.entries(ENV)) {
      const before = process.env[name];
      process.env[name] = value;
      t.after(() => {
        if (before === undefined) delete process.env[name];
        else process.env[name] = before;
      });
    }
    const url = `http://${host}:${port}`;
    const client = await connect({ url, awsSigv4: true });
    t.after(() => client.close());
    const target = { client, url, prefix: 'nyc-', views: taxiViews() };
    await reach(target);
    const plan = await planSetup(target);
    await carryOut(plan, () => {});
    assert.deepEqual(refused, []);
    assert.ok(asked.length >= 8, `${asked.length} requests came`);
    assert.equal(asked.filter(({ method }) => method === 'PUT').length, 4, 'two templates, two indices');
    assert.ok(
      asked.every(({ headers }) => headers['x-amz-content-sha256']),
      'serverless asks for the hash of the body',
    );
  });
}

/** A collection that answers as told, and what `es-setup` needs to reach it. */
async function collection(t: TestContext, answer: Parameters<typeof serve>[1]) {
  const { port, asked } = await serve(t, answer);
  allNamesAreOurs(t);
  const url = `http://abc123.us-east-1.aoss.amazonaws.com:${port}`;
  const client = await connect({ url }, {});
  t.after(() => client.close());
  return { asked, target: { client, url, prefix: '', views: taxiViews() } };
}

test('a collection that does not answer yet is waited for, as any other server', async (t) => {
  const clock = new TestClock();
  const answers = [503, 503, 404];
  const { target, asked } = await collection(t, () => ({ status: answers.shift() ?? 404 }));
  const server = await reach(target, 60_000, { clock });
  assert.deepEqual(server, { distribution: 'opensearch', number: 'serverless' });
  assert.deepEqual(
    asked.map(({ path }) => path),
    ['/', '/', '/'],
    'the health of its cluster is not told',
  );
});

test('a collection that keeps this network out is told at once', async (t) => {
  const { target } = await collection(t, () => ({ status: 401 }));
  await assert.rejects(reach(target, 60_000), /network policy/);
});

test('S2 an index of a collection is not taken for empty: documents show in it only after a while', async (t) => {
  const indices = { 'pickup_count-000001': { aliases: { pickup_count: {} }, mappings: {} } };
  const { target } = await collection(t, ({ path }) => {
    if (path.endsWith('/_count')) return { body: { count: 0 } };
    return path === '/pickup_count' ? { body: indices } : { status: 404, body: {} };
  });
  const { steps, notes } = await planDelete(target, false);
  assert.deepEqual(steps, []);
  assert.match(notes.join(), /pickup_count-000001 may hold documents.*--with-data/);
  const paths = (await planDelete(target, true)).steps.map(({ request }) => request.path);
  assert.deepEqual(paths, ['/pickup_count-000001']);
});
