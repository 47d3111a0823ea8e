/** Errors as the AWS SDK throws them, from clients of two services whose protocols differ. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { KinesisClient, type KinesisClientConfig, ListStreamsCommand } from '@aws-sdk/client-kinesis';
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { TaxiflowError } from '../../src/errors.ts';
import {
  accessError,
  awsVerdict,
  credentialsError,
  errorMessage,
  errorName,
  httpStatus,
  isCredentialsError,
  isTimeout,
} from '../../src/net/aws-errors.ts';
import { muteVersionWarning } from '../../src/net/aws-sdk.ts';
import { freePort } from '../services/service.ts';

muteVersionWarning();

const GIVEN = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
};
const LIMITS = { connectionTimeout: 5_000, socketTimeout: 5_000 };

type Answer = (service: 'kinesis' | 's3') => {
  status: number;
  body: string;
  headers?: Record<string, string>;
};

/** A refusal in the words of either service. */
const refusal =
  (status: number, code: string, message = 'so it is', headers = {}): Answer =>
  (service) => ({
    status,
    headers,
    body:
      service === 's3'
        ? `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`
        : JSON.stringify({ __type: code, message }),
  });

async function thrownBy(request: Promise<unknown>): Promise<unknown> {
  return request.then(
    () => assert.fail('it succeeded'),
    (error: unknown) => error,
  );
}

/** The error of a Kinesis client that is set up like this. */
async function errorOf(t: TestContext, config: KinesisClientConfig): Promise<unknown> {
  const client = new KinesisClient({
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler(LIMITS),
    ...config,
  });
  t.after(() => client.destroy());
  return thrownBy(client.send(new ListStreamsCommand()));
}

/** The errors of both clients about one answer. */
async function errorsOf(t: TestContext, answer: Answer): Promise<[service: string, error: unknown][]> {
  const errors: [string, unknown][] = [];
  for (const service of ['kinesis', 's3'] as const) {
    const server = createServer((_, response) => {
      const { status, body, headers = {} } = answer(service);
      response.writeHead(status, headers).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (service === 'kinesis') errors.push([service, await errorOf(t, { ...GIVEN, endpoint })]);
    else {
      const client = new S3Client({ ...GIVEN, endpoint, forcePathStyle: true });
      t.after(() => client.destroy());
      errors.push([service, await thrownBy(client.send(new ListBucketsCommand()))]);
    }
  }
  return errors;
}

describe('a verdict', () => {
  for (const [what, answer, expected] of [
    ['told to slow down by name', refusal(400, 'ThrottlingException'), 'throttled'],
    ['told to slow down by STS', refusal(400, 'Throttling'), 'throttled'],
    ['told to slow down by status', refusal(429, 'Whatever'), 'throttled'],
    ['a fault of the service', refusal(500, 'InternalFailure'), 'again'],
    ['a busy service', refusal(503, 'SlowDown'), 'again'],
    ['a request that came too slowly', refusal(400, 'RequestTimeout'), 'again'],
    ['a request that took too long', refusal(408, 'Whatever'), 'again'],
    ['no right', refusal(403, 'AccessDenied'), 'final'],
    ['nothing there', refusal(404, 'ResourceNotFoundException'), 'final'],
    ['a wrong request', refusal(400, 'ValidationException'), 'final'],
  ] as const) {
    it(`${what}: ${expected}`, async (t) => {
      for (const [service, error] of await errorsOf(t, answer))
        assert.equal(awsVerdict(error), expected, `${service}: ${error}`);
    });
  }

  it('a clock that was wrong, once: again', async (t) => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    for (const [service, error] of await errorsOf(
      t,
      refusal(403, 'RequestTimeTooSkewed', 'so it is', { date }),
    ))
      assert.equal(awsVerdict(error), 'again', service);
    for (const [service, error] of await errorsOf(t, refusal(403, 'RequestTimeTooSkewed')))
      assert.equal(awsVerdict(error), 'final', `${service}: the SDK has nothing to correct`);
  });

  it('nobody there, and a connection that breaks: again', async (t) => {
    const broken = createTcpServer((socket) =>
      socket.on('error', () => {}).once('data', () => socket.destroy()),
    );
    await new Promise<void>((resolve) => broken.listen(0, '127.0.0.1', resolve));
    t.after(() => broken.close());
    for (const port of [await freePort(), (broken.address() as AddressInfo).port]) {
      const error = await errorOf(t, { ...GIVEN, endpoint: `http://127.0.0.1:${port}` });
      assert.equal(awsVerdict(error), 'again', String(error));
      assert.equal(httpStatus(error), undefined);
    }
  });

  it('an answer of JSON that is cut off: again, with its status', async (t) => {
    const [[, error] = []] = await errorsOf(t, () => ({ status: 200, body: '{"StreamNames":["tr' }));
    assert.equal(awsVerdict(error), 'again', String(error));
    assert.equal(httpStatus(error), 200);
  });

  it('a timeout: again', async (t) => {
    const silent = createTcpServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.after(() => silent.close());
    const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const requestHandler = new NodeHttpHandler({ ...LIMITS, socketTimeout: 50 });
    const error = await errorOf(t, { ...GIVEN, endpoint, requestHandler });
    assert.equal(awsVerdict(error), 'again', String(error));
    assert.ok(isTimeout(error), errorName(error));
  });

  it('no credentials, our own errors and what is no error: final', async () => {
    const own = new TaxiflowError('s3-changed', 'so it is', {
      cause: Object.assign(new Error(), { code: 'EPIPE' }),
    });
    for (const error of [own, new Error('plain'), 'text', null, undefined])
      assert.equal(awsVerdict(error), 'final', String(error));
  });
});

describe('access', () => {
  const nowhere = {
    ...{ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_SESSION_TOKEN: '', AWS_PROFILE: '' },
    AWS_EC2_METADATA_DISABLED: 'true',
    ...{ AWS_SHARED_CREDENTIALS_FILE: '/nonexistent', AWS_CONFIG_FILE: '/nonexistent' },
  };

  it('without credentials, region, or with one that can be none', async (t) => {
    const before = { ...process.env };
    t.after(() => {
      process.env = before;
    });
    Object.assign(process.env, nowhere);
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION']) delete process.env[name];
    const { credentials, region } = GIVEN;
    for (const [config, code, message] of [
      [{ region }, 'no-credentials', 'no AWS credentials were found'],
      [{ credentials, region: async () => '' }, 'no-region', 'no AWS region is set'],
      [{ credentials }, 'no-region', 'no AWS region is set'],
      [{ credentials, region: 'no where' }, 'bad-region', 'this is no AWS region: no where'],
    ] as const) {
      const error = await errorOf(t, config);
      const told = accessError(error);
      assert.deepEqual([told?.code, told?.message, told?.cause], [code, message, error]);
      assert.ok(told?.hint, `${code} has a hint`);
      assert.equal(isCredentialsError(error), code === 'no-credentials');
      assert.equal(awsVerdict(error), 'final');
    }
  });

  for (const [status, name, code] of [
    [400, 'UnrecognizedClientException', 'bad-credentials'],
    [403, 'InvalidSignatureException', 'bad-credentials'],
    [403, 'SignatureDoesNotMatch', 'bad-credentials'],
    [400, 'ExpiredTokenException', 'bad-credentials'],
    [400, 'ExpiredToken', 'bad-credentials'],
    [403, 'InvalidClientTokenId', 'bad-credentials'],
    [400, 'AccessDeniedException', 'access-denied'],
    [403, 'AccessDenied', 'access-denied'],
    [400, 'ValidationException', undefined],
    [404, 'NoSuchBucket', undefined],
    [500, 'InternalFailure', undefined],
  ] as const) {
    it(`${name} is ${code ?? 'of the service'}`, async (t) => {
      for (const [service, error] of await errorsOf(t, refusal(status, name, 'User: me\n  may not'))) {
        const told = accessError(error);
        assert.equal(told?.code, code, `${service}: ${error}`);
        if (told) assert.match(told.message, /: User: me may not$/);
        assert.equal(errorMessage(error), 'User: me may not');
        assert.equal(credentialsError(error), undefined);
      }
    });
  }

  it('an error of the provider of credentials keeps its reason, also with the status of a service', () => {
    const expired = Object.assign(new Error('The SSO session has expired.\nLog in again.'), {
      name: 'CredentialsProviderError',
      $metadata: { httpStatusCode: 401 },
    });
    assert.equal(
      credentialsError(expired)?.message,
      'no AWS credentials were found: The SSO session has expired. Log in again.',
    );
    const away = Object.assign(new Error('connect'), {
      name: 'CredentialsProviderError',
      code: 'ECONNREFUSED',
    });
    assert.equal(awsVerdict(away), 'again', 'the provider may be back soon');
  });
});
