/** Damaged Parquet files: each is read completely or refused; none ends the process, hangs or changes the number of rows. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { ROOT, temporaryFolder } from '../files.ts';
import { budget, FUZZ_SEED } from './budget.ts';

const MUTANTS = 5_000;
const ROWS = 300;
/** Each takes milliseconds. */
const HANGS_MS = 60_000;
const TRIPS = `SELECT 1 + i % 2 AS "VendorID",
    TIMESTAMP '2024-01-01 10:00:00.123456' + to_seconds(i) AS tpep_pickup_datetime,
    CASE WHEN i % 50 = 7 THEN NULL ELSE TIMESTAMP '2024-01-01 10:10:00' + to_seconds(i) END AS tpep_dropoff_datetime,
    CASE WHEN i % 3 = 0 THEN NULL ELSE 1::BIGINT END AS passenger_count, 1.5 + i AS trip_distance,
    (1 + i % 260)::INTEGER AS "PULocationID", 132::INTEGER AS "DOLocationID", (i * 1.25)::DECIMAL(9, 2) AS total_amount
  FROM range(${ROWS}) numbers(i)`;
const TEXTS = `SELECT 'v' || i % 7 AS vendor_id, strftime(TIMESTAMP '2016-03-01 10:00:00' + to_seconds(i), '%d/%m/%Y %H:%M:%S') AS pickup_datetime,
    strftime(TIMESTAMP '2016-03-01 10:10:00' + to_seconds(i), '%Y-%m-%d %H:%M:%S') AS dropoff_datetime,
    -73.98::DOUBLE AS pickup_longitude, 40.7::FLOAT AS pickup_latitude FROM range(${ROWS}) numbers(i)`;

async function files(folder: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const db = await instance.connect();
  const codecs = ['uncompressed', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4_raw'];
  for (const [i, codec] of codecs.entries()) {
    for (const version of ['V1', 'V2']) {
      const sql = (i + (version === 'V2' ? 1 : 0)) % 3 === 2 ? TEXTS : TRIPS;
      const path = join(folder, `${codec}-${version}.parquet`);
      await db.run(
        `COPY (${sql}) TO '${path}' (FORMAT parquet, CODEC '${codec}', PARQUET_VERSION ${version})`,
      );
    }
  }
  db.closeSync();
  instance.closeSync();
}

/** The last line of the process, and how it ended. */
function mutants(
  folder: string,
  from: number,
  to: number,
): Promise<{ code: number | null; last: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', join(ROOT, 'test', 'fuzz', 'parquet-mutants.ts')];
    const child = spawn(process.execPath, [...args, folder, String(FUZZ_SEED), String(from), String(to)], {
      cwd: ROOT,
    });
    let last = '';
    let partial = '';
    let stderr = '';
    const hangs = setTimeout(() => child.kill('SIGKILL'), HANGS_MS);
    child.stdout.on('data', (chunk: Buffer) => {
      hangs.refresh();
      const lines = (partial + chunk.toString()).split('\n');
      partial = lines.pop()!;
      last = lines.at(-1) ?? last;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(hangs);
      resolve({ code, last, stderr });
    });
  });
}

test(`${MUTANTS.toLocaleString('en-US')} damaged Parquet files are read completely or refused`, async (t) => {
  const folder = temporaryFolder(t);
  await files(folder);
  const { code, last, stderr } = await mutants(folder, 0, budget(MUTANTS));
  assert.equal(code, 0, `seed ${FUZZ_SEED}, mutant ${last}: ${stderr.slice(0, 2_000)}`);
  const { whole, outcomes } = JSON.parse(last) as {
    whole: Record<string, number | string>;
    outcomes: Record<string, number>;
  };
  assert.deepEqual(new Set(Object.values(whole)), new Set([ROWS]), 'the files themselves are read');
  t.diagnostic(JSON.stringify(outcomes));
  assert.ok(
    outcomes['read']! > 0 && outcomes['input-unreadable']! > 0,
    'some damage is harmless, some is not',
  );
});
