/** What errors of the system are called. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TaxiflowError, translate } from '../src/errors.ts';

const called = {
  EIO: 'io-error',
  SQLITE_IOERR_READ: 'io-error',
  EMFILE: 'too-many-files',
  ENFILE: 'too-many-files',
  ENOSPC: 'disk-full',
  SQLITE_FULL: 'disk-full',
  SQLITE_BUSY_RECOVERY: 'busy',
  SQLITE_CORRUPT_INDEX: 'corrupt',
  EROFS: 'not-writable',
  SQLITE_CANTOPEN: 'cannot-open',
};

describe('errors of the disk', () => {
  for (const [code, name] of Object.entries(called))
    it(`${code} is ${name}, with what it is about and a hint`, () => {
      const error = translate(Object.assign(new Error('x'), { code }), 'the state', '/a/b');
      assert.ok(error instanceof TaxiflowError);
      assert.equal(error.code, name);
      assert.match(error.message, /the state.*: \/a\/b$/);
      assert.ok(error.hint);
    });
});
