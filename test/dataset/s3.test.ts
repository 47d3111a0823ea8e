import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Dataset } from '../../src/dataset/dataset.ts';
import { findInputs, type Input } from '../../src/dataset/inputs.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { isOutOfReach, translateS3 } from '../../src/s3/errors.ts';
import type { S3Options } from '../../src/s3/object-store.ts';
import { TestClock } from '../clock.ts';
import { fixture, fixtureFiles, temporaryFolder } from '../files.ts';
import { type Asked, type FakeS3, startFakeS3 } from '../services/fake-s3.ts';
import { taxiflow } from '../taxiflow.ts';
import { PATIENCE_MS } from '../until.ts';

const clock = new TestClock();
const KEYS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
/** A home without AWS settings, where asking the machine's own services is switched off. */
const NOBODY = {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
  AWS_CONFIG_FILE: '/nonexistent',
};
const [CSV_NAME = ''] = fixtureFiles();
const csv = readFileSync(fixture(CSV_NAME));

function options(fake: FakeS3): S3Options {
  return { endpointUrl: fake.endpoint, signRequest: false, clock };
}

async function find(fake: FakeS3, path: string): Promise<Input[]> {
  return findInputs([`s3://${fake.bucket}/${path}`], options(fake));
}

async function read(input: Input | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of input!.open(() => {})) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function code(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TaxiflowError, `a TaxiflowError was expected, not ${error}`);
  assert.ok(error.hint, 'the error has a hint');
  return error.code;
}

test('an exact key names one object; a prefix names all trip files under it, over all pages, sorted', async (t) => {
  const fake = await startFakeS3(t, {
    '2016/b.csv.gz': '',
    '2016/a.csv': '',
    '2016/deep/c.parquet': '',
    '2016/notes.md': '',
    '2016/a.csv.zst': '',
    '2017/d e+ü.csv': '',
  });
  const names = async (path: string) =>
    (await find(fake, path)).map(({ name }) => name.slice('s3://trips/'.length));
  assert.deepEqual(await names('2016/a.csv'), ['2016/a.csv']);
  assert.deepEqual(await names('2016/notes.md'), ['2016/notes.md']);
  assert.deepEqual(await names('2016'), [
    '2016/a.csv',
    '2016/a.csv.zst',
    '2016/b.csv.gz',
    '2016/deep/c.parquet',
  ]);
  assert.deepEqual(await names('2016/*.csv*'), ['2016/a.csv', '2016/a.csv.zst', '2016/b.csv.gz']);
  assert.deepEqual(await names('**/c.parquet'), ['2016/deep/c.parquet']);
  assert.deepEqual(await names('2017/d e+ü.csv'), ['2017/d e+ü.csv']);
  assert.equal((await names('')).length, 5);
  assert.equal(await code(find(fake, '2018')), 'no-input');
});

test('a body that breaks off anywhere, any number of times, still gives the bytes of the file', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv, 'x.csv.gz': gzipSync(csv) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('x.csv', 'x.csv.gz'),
      fc.array(
        fc.oneof(
          fc.record({ after: fc.integer({ min: 0, max: 200_000 }) }),
          fc.constantFrom(
            'reset' as const,
            { status: 503, code: 'SlowDown' },
            { status: 500, code: 'InternalError' },
          ),
        ),
        { maxLength: 7 },
      ),
      async (key, faults) => {
        // The rest of the last ones doesn't belong to this listing.
        fake.fault = () => undefined;
        const [input] = await find(fake, key);
        const left = [...faults];
        fake.fault = () => left.shift();
        assert.ok((await read(input)).equals(csv), `${key} is the same under ${JSON.stringify(faults)}`);
      },
    ),
    { numRuns: 60 },
  );
});

test('a body that stops short for good is an error, not the end of the object', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const [input] = await find(fake, 'x.csv');
  fake.fault = ({ headers }) => ({ after: headers.range ? 0 : 1000 });
  assert.equal(await code(read(input)), 's3-unreachable');
});

test('an object that changes while it is read is an error', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const [input] = await find(fake, 'x.csv');
  fake.fault = ({ headers }) => {
    if (headers.range) return undefined;
    fake.objects.set('x.csv', Buffer.concat([csv, csv]));
    return undefined;
  };
  assert.equal(await code(read(input)), 's3-changed');
});

test('an object is resumed under its ETag', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const [input] = await find(fake, 'x.csv');
  fake.asked.length = 0;
  fake.fault = ({ headers }) => (headers.range ? undefined : { after: 1000 });
  assert.ok((await read(input)).equals(csv), 'the bytes are those of the file');
  assert.equal(fake.asked.length, 2);
  assert.match(fake.asked[1]?.headers.range ?? '', /^bytes=\d+-/);
  assert.equal(fake.asked[1]?.headers['if-match'], fake.asked[0]?.headers['if-match']);
});

test('objects are distinguished by ETag and size, without reading them', async (t) => {
  const fake = await startFakeS3(t, { 'a/x.csv': csv, 'b/x.csv': csv, 'c/x.csv': 'other' });
  const tags = (await find(fake, '')).map(({ tag }) => tag);
  assert.deepEqual([tags[0] === tags[1], new Set(tags).size], [true, 2]);
  assert.ok(!fake.asked.some(({ key, method }) => key !== '' && method === 'GET'), 'no object was read');
});

test('unsigned requests carry no signature, and each request names the payer', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const [input] = await findInputs(['s3://trips/x'], { ...options(fake), requestPayer: true });
  await read(input);
  assert.ok(fake.asked.length >= 3, 'head, list and get were asked');
  for (const { headers } of fake.asked) {
    assert.equal(headers.authorization, undefined);
    assert.equal(headers['x-amz-request-payer'], 'requester');
  }
});

test('an empty object is an input without a header', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': '' });
  const dataset = await Dataset.open({
    paths: ['s3://trips/x.csv'],
    dataDir: temporaryFolder(t),
    s3: options(fake),
  });
  assert.equal(await code(dataset.batches().next()), 'unknown-header');
});

test('refusals have codes and hints', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  assert.equal(await code(findInputs(['s3://other/x'], options(fake))), 's3-no-such-bucket');
  assert.equal(await code(findInputs(['s3:///x'], options(fake))), 'usage');
  for (const [status, name, expected] of [
    [403, 'AccessDenied', 's3-access-denied'],
    [403, 'InvalidAccessKeyId', 's3-access-denied'],
    [403, 'InvalidObjectState', 's3-archived'],
    [400, 'InvalidRequest', 's3-refused'],
    [400, 'ExpiredToken', 'no-credentials'],
    [503, 'SlowDown', 's3-unreachable'],
  ] as const) {
    fake.fault = () => ({ status, code: name });
    assert.equal(await code(find(fake, 'x')), expected);
  }
});

test('a refusal quotes what S3 says, if it says anything', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const why = 'User: me is not authorized to perform: s3:ListBucket';
  for (const [message, told] of [
    ['Access Denied', /^S3 refuses access to s3:\/\/trips\/x \(AccessDenied\)$/],
    [why, /^S3 refuses access to s3:\/\/trips\/x \(AccessDenied: User: me .* s3:ListBucket\)$/],
  ] as const) {
    fake.fault = () => ({ status: 403, code: 'AccessDenied', message });
    await assert.rejects(find(fake, 'x'), { message: told });
  }
});

test('a bucket in another region is asked there from the second request on', async (t) => {
  Object.assign(process.env, KEYS);
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const headers = { 'x-amz-bucket-region': 'eu-west-3' };
  const isThere = ({ headers: { authorization } }: Asked) => /\/eu-west-3\/s3\//.test(String(authorization));
  // A redirect; or, where the request came to the right place with the signature of another, a refusal.
  for (const fault of [
    { status: 301, code: 'PermanentRedirect', headers },
    { status: 400, code: 'AuthorizationHeaderMalformed', headers },
  ]) {
    fake.asked.length = 0;
    fake.fault = (asked) => (isThere(asked) ? undefined : fault);
    const [input] = await findInputs(['s3://trips/x.csv'], {
      endpointUrl: fake.endpoint,
      region: 'us-east-1',
      clock,
    });
    const ranges = await input!.ranges!(() => {});
    const parts = await Promise.all([0, 1000, 2000].map((start) => ranges.read(start, start + 1000)));
    assert.ok(Buffer.concat(parts).equals(csv.subarray(0, 3000)), 'the bytes are those of the file');
    assert.deepEqual(fake.asked.map(isThere), [false, true, true, true, true]);
  }
});

test("a wrong clock doesn't prevent reading", async (t) => {
  Object.assign(process.env, KEYS);
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const there = Date.now() + 3_600_000;
  const headers = { date: new Date(there).toUTCString() };
  fake.fault = (asked) => {
    const [, day, time] = /^(\d{8})T(\d{6})Z$/.exec(String(asked.headers['x-amz-date'])) ?? [];
    const told = `${day}${time}`.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6Z');
    const isRight = Math.abs(Date.parse(told) - there) < 900_000;
    return isRight ? undefined : { status: 403, code: 'RequestTimeTooSkewed', headers };
  };
  const [input] = await findInputs(['s3://trips/'], {
    endpointUrl: fake.endpoint,
    region: 'us-east-1',
    clock,
  });
  assert.ok((await read(input)).equals(csv), 'the bytes are those of the file');
});

test('the command line prints one clear line and a hint, nothing from the SDK', async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  const home = temporaryFolder(t);
  const replay = (args: string[], env: Record<string, string>) =>
    taxiflow(['replay', ...args, '--dry-run', '--data-dir', home], {
      env: { HOME: home, AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', ...NOBODY, ...env },
    });
  const endpoint = ['--endpoint-url', fake.endpoint];

  const nobody = await replay(['s3://trips/x.csv', ...endpoint], {});
  assert.match(nobody.stderr, /^Error: there are no AWS credentials .*\nTry: .*\n$/);
  assert.equal(nobody.code, 1);

  const unreachable = await replay(['s3://trips/x.csv', '--endpoint-url', 'http://127.0.0.1:1'], KEYS);
  assert.match(unreachable.stderr, /^Error: s3:\/\/trips\/x\.csv can't be read: ECONNREFUSED\nTry: .*\n$/);

  const missing = await replay(['s3://missing/x.csv'], { ...KEYS, AWS_ENDPOINT_URL_S3: fake.endpoint });
  assert.match(missing.stderr, /^Error: there is no bucket missing\nTry: .*\n$/);

  // A bucket in another region answers with a redirect, or with a 400 whose reason only the listing has.
  const home3 = { 'x-amz-bucket-region': 'eu-west-3' };
  for (const fault of [
    { status: 301, code: 'PermanentRedirect' },
    { status: 301, code: 'PermanentRedirect', headers: home3 },
    { status: 400, code: 'AuthorizationHeaderMalformed', headers: home3 },
  ]) {
    fake.fault = () => fault;
    const elsewhere = await replay(['s3://trips/x.csv', ...endpoint], KEYS);
    assert.match(
      elsewhere.stderr,
      fault.headers
        ? /^Error: the bucket trips lies in another region, eu-west-3\nTry: .*--region eu-west-3\n$/
        : /^Error: the bucket trips lies in another region\nTry: .*--region\n$/,
    );
    assert.equal(elsewhere.code, 1);
  }
  fake.fault = () => undefined;

  const unsigned = await replay(['s3://trips/x.csv', ...endpoint, '--no-sign-request', '--json'], {});
  assert.equal(unsigned.code, 0, unsigned.stderr);
  assert.doesNotMatch(unsigned.stderr, /warning|node/i);
  const local = await replay([fixture(CSV_NAME), '--json'], {});
  assert.equal(unsigned.json()['trips'], local.json()['trips']);
});

test('the command line ends when the service or the metadata server stays silent', {
  concurrency: true,
}, async (t) => {
  const fake = await startFakeS3(t, {});
  fake.fault = () => 'silent';
  const home = temporaryFolder(t);
  const replay = (env: Record<string, string>) =>
    taxiflow(['replay', 's3://trips/x.csv', '--dry-run', '--data-dir', home], {
      env: { HOME: home, AWS_REGION: 'us-east-1', ...NOBODY, ...env },
      // It has ten seconds, and the machine may be busy.
      onStart: (child) => setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS).unref(),
    });
  await t.test('the service', async () => {
    const ran = await replay({ ...KEYS, AWS_ENDPOINT_URL: fake.endpoint });
    assert.match(ran.stderr, /^Error: s3:\/\/trips\/x\.csv can't be read: timed out\nTry: .*\n$/);
    assert.equal(ran.code, 1);
  });
  await t.test('the metadata server', async () => {
    const metadata = { AWS_EC2_METADATA_DISABLED: '', AWS_EC2_METADATA_SERVICE_ENDPOINT: fake.endpoint };
    const ran = await replay({ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', ...metadata });
    assert.match(ran.stderr, /^Error: there are no AWS credentials .*\nTry: .*\n$/);
    assert.equal(ran.code, 1);
    assert.ok(fake.asked.length > 0, 'it was asked');
  });
});

test('a server that accepts the connection and stays silent is reported within ten seconds', {
  timeout: PATIENCE_MS,
}, async (t) => {
  const fake = await startFakeS3(t, { 'x.csv': csv });
  fake.fault = () => 'silent';
  t.mock.method(AbortSignal, 'timeout', () =>
    AbortSignal.abort(new DOMException('too long', 'TimeoutError')),
  );
  assert.equal(await code(find(fake, 'x.csv')), 's3-unreachable');
});

test('a write that always meets another one may be tried again later', () => {
  const conflict = Object.assign(new Error('a conflicting operation'), {
    name: 'ConditionalRequestConflict',
    $metadata: { httpStatusCode: 409 },
  });
  assert.ok(isOutOfReach(translateS3(conflict, 'trips', 'head.json', 'written')));
});
