/** Codes of connections, from errors as Node.js makes them. */
import assert from 'node:assert/strict';
import { get } from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { isNetworkCode, isTlsCode, rootCode, rootOf } from '../../src/net/codes.ts';
import { freePort } from '../services/service.ts';

describe('codes of connections', () => {
  it('a refused connection, an unknown host and a reset pass', async (t) => {
    const resetting = createServer((socket) => socket.resetAndDestroy());
    await new Promise<void>((resolve) => resetting.listen(0, '127.0.0.1', resolve));
    t.after(() => resetting.close());
    const { port } = resetting.address() as AddressInfo;
    const failing = (options: { port: number; host: string }) =>
      new Promise<Error>((resolve) =>
        connect(options)
          .on('error', resolve)
          .on('connect', () => {}),
      );
    for (const [error, codes] of [
      [await failing({ port: await freePort(), host: '127.0.0.1' }), ['ECONNREFUSED']],
      [await failing({ port: 1, host: 'nosuch.invalid' }), ['ENOTFOUND', 'EAI_AGAIN']],
      [await failing({ port, host: '127.0.0.1' }), ['ECONNRESET']],
    ] as const) {
      assert.ok((codes as readonly unknown[]).includes(rootCode(error)), `${rootCode(error)}`);
      assert.ok(isNetworkCode(rootCode(error)), `${rootCode(error)} passes`);
      assert.ok(!isTlsCode(rootCode(error)));
    }
  });

  it('a server without TLS is about TLS and does not pass', async (t) => {
    const plain = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    t.after(() => plain.close());
    const { port } = plain.address() as AddressInfo;
    const error = await new Promise<Error>((resolve) =>
      get({ port, host: '127.0.0.1' }).on('error', resolve),
    );
    assert.ok(isTlsCode(rootCode(error)), `${rootCode(error)}`);
    assert.ok(!isNetworkCode(rootCode(error)));
  });

  it('files, databases and errors without a code are about neither', () => {
    for (const code of ['ENOENT', 'EACCES', 'SQLITE_BUSY', 'ERR_INVALID_ARG_TYPE', '', undefined]) {
      assert.ok(!isNetworkCode(code), `${code}`);
      assert.ok(!isTlsCode(code), `${code}`);
    }
    for (const code of ['ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_GOAWAY_SESSION']) assert.ok(isNetworkCode(code));
    for (const code of ['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID'])
      assert.ok(isTlsCode(code) && !isNetworkCode(code), code);
  });

  it("a wrapped error has its cause's code, and of several addresses the first one's", () => {
    const coded = (code: string) => Object.assign(new Error(code), { code });
    const all = new AggregateError([coded('ECONNREFUSED'), coded('EHOSTUNREACH')], 'all addresses failed');
    const wrapped = new Error('the request failed', { cause: all });
    assert.equal(rootCode(wrapped), 'ECONNREFUSED');
    assert.equal(rootOf(wrapped).message, 'ECONNREFUSED');
    assert.equal(rootCode(new Error('plain')), undefined);
    for (const none of ['text', null, undefined, 7]) assert.equal(rootCode(none), undefined);
  });
});
