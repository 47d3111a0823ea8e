/** The verdict on documents and requests, from recorded answers of real servers. */
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

/** Per recorded reply: the verdict on the request or, if it has items, on each document in order. */
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
  // One document spoils the request; halving finds it.
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

/** Words that the advice must contain. */
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

describe('answers without a recording', () => {
  const requests: readonly (readonly [number, ResponseVerdict])[] = [
    [200, 'items'],
    // From a proxy: the server's own answer names the fault of a document.
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

  it('deleting an absent document is done', () => assert.equal(classify({ status: 404 }), 'done'));

  it('a missing right blocks, and refuses no results', () => {
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
    it(`a fault of the index refuses no documents: ${reason.slice(0, 40)}`, () => {
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
    it(`a fault of all documents refuses none of them: ${reason.slice(0, 40)}`, () => {
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
