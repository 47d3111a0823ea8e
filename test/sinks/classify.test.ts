/** What becomes of documents and requests, by what real servers answered. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  classify,
  classifyResponse,
  type ResponseVerdict,
  reasonOf,
  retryAfter,
  type Verdict,
} from '../../src/sinks/opensearch/replies.ts';
import { itemsOf, type Reply, recordedReplies } from '../services/replies.ts';

/** By reply: what becomes of the request or, where it was looked at, of each of its documents in their order. */
const EXPECTED: Readonly<Record<string, ResponseVerdict | readonly Verdict[]>> = {
  'bulk-413-too-large': 'halve',
  'bulk-429-indexing-pressure': 'retry',
  'bulk-429-write-queue-partial': ['done', 'done', 'retry', 'retry'],
  'bulk-closed-index': ['blocked'],
  'bulk-create-conflict': ['done'],
  'bulk-external-version-conflict-older': ['done', 'done'],
  'bulk-external-version-conflict-same': ['done'],
  'bulk-external-version-first': ['done'],
  'bulk-external_gte-same-version-ok': ['done'],
  'bulk-flood-stage-real': ['blocked'],
  // One document spoils the request; halves find which.
  'bulk-id-too-long': 'halve',
  'bulk-index-missing': ['gone'],
  'bulk-malformed-action': 'halve',
  'bulk-missing-newline': 'halve',
  'bulk-partial-mapping-errors': ['done', 'dead', 'dead', 'dead', 'dead'],
  'bulk-primary-unavailable': ['retry'],
  'bulk-read-only-allow-delete': ['blocked'],
  'bulk-source-not-json': ['done', 'dead'],
  'bulk-write-block': ['blocked'],
  'bulk-wrong-content-type': 'blocked',
};

/** What helps, in words that must be told. */
const ADVICE: Readonly<Record<string, RegExp>> = {
  'bulk-closed-index': /closed/,
  'bulk-flood-stage-real': /index\.blocks\.read_only_allow_delete/,
  'bulk-partial-mapping-errors': /trip_count.*many/,
  'bulk-read-only-allow-delete': /index\.blocks\.read_only_allow_delete/,
  'bulk-write-block': /disk.*memory.*index\.blocks\.write/,
};

function verdictOf(reply: Reply): ResponseVerdict | Verdict[] {
  const whole = classifyResponse(reply.httpStatus, reply.body);
  return whole === 'items' ? itemsOf(reply).map(classify) : whole;
}

for (const [server, replies] of recordedReplies()) {
  describe(`what ${server} answered`, () => {
    for (const [name, reply] of replies) {
      it(name, () => {
        assert.deepEqual(verdictOf(reply), EXPECTED[name]);
        const advice = ADVICE[name];
        if (!advice) return;
        const failed = itemsOf(reply).find(({ error }) => error !== undefined);
        assert.match(reasonOf(failed!), advice);
      });
    }
  });
}

describe('what no recording has', () => {
  const requests: readonly (readonly [number, ResponseVerdict])[] = [
    [200, 'items'],
    // Of a proxy: the server's own says what is wrong with a document.
    [400, 'blocked'],
    [401, 'blocked'],
    [403, 'blocked'],
    [404, 'blocked'],
    [408, 'retry'],
    [500, 'retry'],
    [502, 'retry'],
    [503, 'retry'],
    [504, 'retry'],
  ];
  for (const [status, expected] of requests) {
    it(`a request answered ${status}: ${expected}`, () =>
      assert.equal(classifyResponse(status, ''), expected));
  }

  it('what is not there need not be deleted', () => assert.equal(classify({ status: 404 }), 'done'));

  it('a right that is missing is asked for, not a reason to give results up', () => {
    const error = { type: 'security_exception', reason: 'no permissions for [indices:data/write/bulk[s]]' };
    assert.equal(classify({ status: 403, error }), 'blocked');
  });

  // As OpenSearch 3.8 and Elasticsearch 7.10 say it.
  const faults: readonly (readonly [string, RegExp])[] = [
    [
      'no write index is defined for alias [w]. The write index may be explicitly disabled using is_write_index=false or the alias points to multiple indices without one being designated as a write index',
      /es-setup/,
    ],
    ['pipeline with id [gone] does not exist', /index\.default_pipeline/],
    // As a serverless collection of time series says it.
    ['Document ID is not supported in create/index operation request', /"search"/],
  ];
  for (const [reason, advice] of faults) {
    it(`a fault of the index is not held against documents: ${reason.slice(0, 40)}`, () => {
      const item = { status: 400, error: { type: 'illegal_argument_exception', reason } };
      assert.equal(classify(item), 'blocked');
      assert.match(reasonOf(item), advice);
    });
  }

  // As OpenSearch 2.19 and Elasticsearch 7.10 say it.
  for (const reason of [
    'explicit index in bulk is not allowed',
    'Action/metadata line [1] contains an unknown parameter [require_alias]',
  ]) {
    it(`what is wrong with all documents is no reason to give each of them up: ${reason.slice(0, 40)}`, () => {
      const error = { type: 'illegal_argument_exception', reason };
      assert.equal(classifyResponse(400, { error }), 'blocked');
    });
  }

  const now = Date.UTC(2026, 0, 1);
  const waits: readonly (readonly [unknown, number])[] = [
    ['3', 3_000],
    ['0', 0],
    ['Thu, 01 Jan 2026 00:00:07 GMT', 7_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 60_000],
    ['3600', 60_000],
    ['99999999', 60_000],
    ['soon', 0],
    ['-5', 0],
    [undefined, 0],
  ];
  for (const [header, ms] of waits) {
    it(`Retry-After ${header} is ${ms} ms`, () => assert.equal(retryAfter(header, now), ms));
  }
});
