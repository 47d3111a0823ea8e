/** The client as taxiflow makes it: who it says it is, whom it trusts, how long it waits, and errors in words. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { TaxiflowError } from '../../src/errors.ts';
import { type Access, connect, type Environment, serverOf } from '../../src/opensearch/connection.ts';
import { DASHBOARDS, explained, isAway } from '../../src/opensearch/errors.ts';
import { temporaryFolder } from '../files.ts';
import { emptyOpenSearch, serve } from '../services/http.ts';
import { freePort } from '../services/service.ts';

const NOBODY: Environment = {};

/** The error of asking a server what it is, which there has to be. */
async function failing(access: Access, env = NOBODY): Promise<TaxiflowError> {
  const client = await connect(access, env);
  try {
    const server = await serverOf(client, access.url);
    assert.fail(`it answered: ${JSON.stringify(server)}`);
  } catch (error) {
    const { code, message, hint } = error as TaxiflowError;
    assert.doesNotMatch(message, /\n/, 'one line');
    assert.ok(hint, `${code} has a hint`);
    return error as TaxiflowError;
  } finally {
    await client.close();
  }
}

describe('what is asked of whom', () => {
  for (const [url, names] of [
    ['localhost:9200', /localhost:9200/],
    ['ftp://localhost', /ftp:\/\/localhost/],
    ['nonsense', /nonsense/],
  ] as const) {
    test(`${url} is no URL`, async () => {
      await assert.rejects(connect({ url }, NOBODY), { code: 'usage', exitCode: 2, message: names });
    });
  }

  for (const domain of ['aoss', 'aoss-fips']) {
    test(`the ${domain} endpoint of an account says nothing of a collection`, async () => {
      const url = `https://123456789012.${domain}.us-east-1.on.aws`;
      await assert.rejects(connect({ url }, NOBODY), { code: 'usage', exitCode: 2, message: /account/ });
    });
  }

  test('a password in the URL is refused, and not repeated', async () => {
    const refused = connect({ url: 'https://admin:secret@search.example.com' }, NOBODY);
    await assert.rejects(refused, (error: TaxiflowError) => {
      assert.equal(error.exitCode, 2);
      assert.match(error.hint ?? '', /OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD/);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /secret|admin/);
      return true;
    });
  });

  test('name and password of the environment are sent; one alone is a mistake', async (t) => {
    const { url, asked } = await serve(t, emptyOpenSearch);
    const env = { OPENSEARCH_USERNAME: 'ann', OPENSEARCH_PASSWORD: 'pa:ss wörd' };
    const client = await connect({ url }, env);
    await serverOf(client, url);
    await client.close();
    const [, sent = ''] = (asked[0]!.headers.authorization ?? '').split('Basic ');
    assert.equal(Buffer.from(sent, 'base64').toString(), 'ann:pa:ss wörd');
    await assert.rejects(connect({ url }, { OPENSEARCH_USERNAME: 'ann' }), { code: 'usage' });
    await assert.rejects(connect({ url }, { OPENSEARCH_PASSWORD: 'x' }), { code: 'usage' });
  });

  test('a path of the URL stands before every request', async (t) => {
    const { url, asked } = await serve(t, ({ path }) =>
      emptyOpenSearch({ method: 'GET', path: path.slice(7) }),
    );
    const client = await connect({ url: `${url}/search` }, NOBODY);
    await serverOf(client, `${url}/search`);
    await client.close();
    assert.equal(asked[0]!.path, '/search/');
  });
});

describe('errors', () => {
  test('nothing listens', async () => {
    const url = `http://localhost:${await freePort()}`;
    const error = await failing({ url });
    assert.equal(error.code, 'opensearch-unreachable');
    assert.match(error.message, /ECONNREFUSED/);
    assert.ok(isAway(error), 'it may come yet');
  });

  test('no such host', async () => {
    const error = await failing({ url: 'http://nosuch.invalid:9200' });
    assert.equal(error.code, 'opensearch-unreachable');
  });

  test('it takes the connection and says nothing', async (t) => {
    const { url } = await serve(t, () => undefined);
    const error = await failing({ url, requestTimeout: 200 });
    assert.equal(error.code, 'opensearch-unreachable');
    assert.match(error.message, /ETIMEDOUT|TimeoutError/);
  });

  for (const [what, headers, body] of [
    ['packed', { 'content-encoding': 'gzip' }, gzipSync('{"version":{"number":"3.8.0"}}')],
    ['larger than 32 MB', { 'content-length': '99999999999' }, '{}'],
    ['larger than 32 MB', { 'content-length': '40000000' }, '{}'],
    ['larger than 32 MB', {}, `{"version":"${'x'.repeat(40_000_000)}`],
  ] as const) {
    test(`its answer is ${what} (${JSON.stringify(headers)})`, async (t) => {
      const server = createHttpServer((_, response) => {
        response.on('error', () => {});
        response.writeHead(200, { 'content-type': 'application/json', ...headers });
        // Without an end.
        response.write(body);
        if (what === 'packed') response.end();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => {
        server.closeAllConnections();
        server.close();
      });
      const error = await failing({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
      assert.equal(error.code, 'opensearch-bad-answer');
      assert.match(error.message, new RegExp(`the answer is ${what}`));
      assert.ok(isAway(error), 'it is tried again');
    });
  }

  test('a client that is closed ends its requests', async (t) => {
    let asked = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const { url } = await serve(t, () => {
      asked();
      return undefined;
    });
    const client = await connect({ url }, NOBODY);
    const request = assert.rejects(serverOf(client, url), /the connection was closed/);
    await isAsked;
    await client.close();
    await request;
  });

  test('it stops in the middle of its answer', async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const printed = t.mock.method(console, 'log', () => {});
    const error = await failing({ url: `http://127.0.0.1:${port}`, requestTimeout: 200 });
    assert.equal(error.code, 'opensearch-unreachable');
    assert.deepEqual(printed.mock.calls, [], 'stdout is for data');
  });

  /** Replies as real servers give them, and what we make of them. */
  const REPLIES: readonly [string, number, unknown, string, RegExp, boolean][] = [
    ['wants a password', 401, 'Unauthorized', 'opensearch-unauthorized', /Unauthorized/, false],
    [
      'Amazon, unsigned',
      403,
      { Message: 'User: anonymous is not authorized to perform: es:ESHttpGet' },
      'opensearch-forbidden',
      /anonymous is not authorized/,
      false,
    ],
    [
      'a role without the right',
      403,
      {
        error: { type: 'security_exception', reason: 'no permissions for [cluster:monitor/main]' },
        status: 403,
      },
      'opensearch-forbidden',
      /no permissions for/,
      false,
    ],
    [
      'still starting',
      503,
      'OpenSearch Security not initialized.',
      'opensearch-unreachable',
      /not initialized/,
      true,
    ],
    [
      'a proxy before it',
      502,
      '<html><body>Bad Gateway</body></html>',
      'opensearch-unreachable',
      /502/,
      true,
    ],
    ['it throttles', 429, '429 Too Many Requests', 'opensearch-unreachable', /429/, true],
    [
      'it refuses',
      400,
      { error: { reason: 'outer', caused_by: { reason: 'inner' } }, status: 400 },
      'opensearch-refused',
      /400\): inner$/,
      false,
    ],
  ];
  for (const [name, status, body, code, message, away] of REPLIES) {
    test(`${status}: ${name}`, async (t) => {
      const { url } = await serve(t, () => ({ status, body }));
      const error = await failing({ url });
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /</, 'no HTML');
      assert.equal(isAway(error), away, 'whether to wait for it');
    });
  }

  /** As the client has it. */
  const answered = (statusCode: number, error: object) => ({
    meta: { statusCode, body: { error, status: statusCode } },
  });
  const BLOCKED: readonly [string, number, string, string, RegExp][] = [
    // As OpenSearch 3.8 says it.
    [
      'no index may be made',
      403,
      'index_create_block_exception',
      'blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];',
      /disk and the memory.*cluster\.blocks\.create_index/,
    ],
    [
      'a disk that is full',
      429,
      'cluster_block_exception',
      'index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];',
      /disk.*read_only_allow_delete/,
    ],
    ['a block of its own', 403, 'cluster_block_exception', 'blocked by: [FORBIDDEN/77/own];', /disks/],
  ];
  for (const [what, status, type, reason, hint] of BLOCKED) {
    test(`a block is no missing right and no silence: ${what}`, () => {
      const error = explained(answered(status, { type, reason }), 'http://localhost:9200');
      assert.equal(error.code, 'opensearch-blocked');
      assert.ok(error.message.includes(reason.slice(0, 30)), error.message);
      assert.match(error.hint ?? '', hint);
      assert.equal(isAway(error), status === 429, 'a disk may be freed');
    });
  }

  test('a cluster that is not formed yet is away, though it calls that a block', () => {
    const reason = 'blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];';
    const error = explained(answered(503, { type: 'cluster_block_exception', reason }), 'http://localhost');
    assert.equal(error.code, 'opensearch-unreachable');
  });

  // As a collection answers where a policy is in the way.
  const COLLECTION = 'https://abc123.us-east-1.aoss.amazonaws.com';
  test('401 of a collection is its network policy; no name and password help', () => {
    const { code, message, hint = '' } = explained({ meta: { statusCode: 401, body: '' } }, COLLECTION);
    assert.equal(code, 'opensearch-unauthorized');
    assert.match(`${message} ${hint}`, /network policy/);
    assert.doesNotMatch(hint, /PASSWORD/);
  });

  test('403 of a collection is its data access policy, a right, or the signature', () => {
    const forbidden = answered(403, { reason: '403 Forbidden', type: 'Forbidden' });
    assert.match(
      explained(forbidden, COLLECTION).hint ?? '',
      /--aws-sigv4.*data access policy.*aoss:APIAccessAll/,
    );
    const dashboards = explained(forbidden, `${COLLECTION}/_dashboards`, DASHBOARDS);
    assert.match(dashboards.hint ?? '', /aoss:DashboardsAccessAll/);
  });

  test('403 of Dashboards is a right in the tenant, or a signature that it does not look at', () => {
    const forbidden = { meta: { statusCode: 403, body: { message: 'Forbidden' } } };
    const { hint = '' } = explained(
      forbidden,
      'https://x.us-east-1.es.amazonaws.com/_dashboards',
      DASHBOARDS,
    );
    assert.match(hint, /global tenant.*OPENSEARCH_USERNAME/);
  });

  test('what Amazon says of a wrong signature is told without the token that it repeats', () => {
    const said =
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.\n\nThe Canonical String for this request should have been\n'GET\n/\n\nhost:x\nx-amz-security-token:IQoJSECRET\n\nhost\nabc'\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256'\n";
    const { message } = explained({ meta: { statusCode: 403, body: { message: said } } }, 'https://x');
    assert.match(message, /signature you provided/);
    assert.doesNotMatch(message, /SECRET|Canonical/);
  });

  test('an error that is ours already stays as it is', async () => {
    const error = await failing({ url: `http://localhost:${await freePort()}` });
    assert.equal(explained(error, 'http://elsewhere'), error);
  });
});

describe('servers', () => {
  const says = (number: unknown, distribution?: string) => ({ body: { version: { number, distribution } } });

  for (const [number, distribution] of [
    ['2.0.0', 'opensearch'],
    ['2.19.1', 'opensearch'],
    ['3.8.0', 'opensearch'],
    ['7.10.2', 'opensearch'],
    ['7.10.2', undefined],
  ] as const) {
    test(`${distribution ?? 'elasticsearch'} ${number} is fine`, async (t) => {
      const { url } = await serve(t, () => says(number, distribution));
      const client = await connect({ url }, NOBODY);
      const expected = { distribution: distribution ?? 'elasticsearch', number };
      assert.deepEqual(await serverOf(client, url), expected);
      await client.close();
    });
  }

  for (const [what, answer] of [
    ['Elasticsearch 8.13.0', says('8.13.0')],
    ['Elasticsearch 7.17.9', says('7.17.9')],
    ['Elasticsearch 6.8.0', says('6.8.0')],
    ['OpenSearch 1.3.20', says('1.3.20', 'opensearch')],
    ['OpenSearch 4.0.0', says('4.0.0', 'opensearch')],
    ['neither', { body: { name: 'a web server' } }],
    ['neither', { body: '<html>It works!</html>' }],
    ['neither', { status: 404, body: 'Not Found' }],
  ] as const) {
    test(`${what} is refused: ${JSON.stringify(answer)}`, async (t) => {
      const { url } = await serve(t, () => answer);
      const error = await failing({ url });
      assert.equal(error.code, 'unsupported-server');
      assert.match(error.message, new RegExp(what));
      assert.ok(!isAway(error), 'waiting does not help');
    });
  }
});

const noOpenssl =
  spawnSync('openssl', ['version']).status === 0 || process.env['CI'] === 'true'
    ? false
    : 'needs openssl, which is not here';

describe('TLS', { skip: noOpenssl }, () => {
  /** A server with a certificate of its own for 127.0.0.1. */
  async function tlsServer(t: TestContext) {
    const folder = temporaryFolder(t);
    const [keyFile, ca] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const made = spawnSync(
      'openssl',
      [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ],
        ...['-keyout', keyFile, '-out', ca, '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ],
      { encoding: 'utf8' },
    );
    assert.equal(made.status, 0, made.stderr);
    const server = await serve(t, emptyOpenSearch, {
      key: readFileSync(keyFile, 'utf8'),
      cert: readFileSync(ca, 'utf8'),
    });
    return { ...server, ca, folder };
  }

  test('a certificate that nobody vouches for is refused; --ca vouches for it, --insecure does without', async (t) => {
    const { url, ca, asked } = await tlsServer(t);
    const error = await failing({ url });
    assert.equal(error.code, 'opensearch-tls');
    assert.match(error.hint ?? '', /--ca/);
    assert.ok(!isAway(error), 'waiting does not help');
    assert.equal(asked.length, 0, 'nothing was sent');
    for (const access of [
      { url, ca },
      { url, insecure: true },
    ]) {
      const client = await connect(access, NOBODY);
      assert.deepEqual(await serverOf(client, url), { distribution: 'opensearch', number: '3.8.0' });
      await client.close();
    }
  });

  test('a certificate of another host is refused, even with --ca', async (t) => {
    const { port, ca } = await tlsServer(t);
    const error = await failing({ url: `https://localhost:${port}`, ca });
    assert.equal(error.code, 'opensearch-tls');
    assert.match(error.message, /ALTNAME/);
  });

  test('https to a server without TLS', async (t) => {
    const { url } = await serve(t, emptyOpenSearch);
    const error = await failing({ url: url.replace('http:', 'https:') });
    assert.equal(error.code, 'opensearch-tls');
    assert.match(error.hint ?? '', /http:\/\//);
  });

  test('--ca needs a file with a certificate', async (t) => {
    const { url, folder } = await tlsServer(t);
    await assert.rejects(connect({ url, ca: join(folder, 'nosuch.pem') }, NOBODY), { code: 'bad-ca' });
    const empty = join(folder, 'empty.pem');
    writeFileSync(empty, 'nothing\n');
    await assert.rejects(connect({ url, ca: empty }, NOBODY), { code: 'bad-ca' });
  });
});
