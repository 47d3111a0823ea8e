import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { ROOT, temporaryFolder } from '../files.ts';
import { productOf, startOpenSearch, withoutOpenSearch, withoutVersion } from './opensearch.ts';

for (const version of ['3.8.0', '2.19.1', '7.10.2'] as const) {
  it(`${productOf(version)} keeps its documents over a kill`, {
    skip: withoutVersion(version),
  }, async (t) => {
    const search = await startOpenSearch(t, { version });
    const { version: said } = await search.request<{ version: { number: string } }>('GET', '/');
    assert.equal(said.number, version);
    await search.request('PUT', '/t', {
      mappings: { properties: { at: { type: 'geo_point' } } },
    });
    await search.request('PUT', '/t/_doc/1', { at: 'dr5rsm' });
    await search.stop();
    await assert.rejects(fetch(search.endpoint), 'nothing listens there');
    await search.start();
    await search.request('POST', '/t/_refresh');
    const { aggregations } = await search.request<{
      aggregations: { cells: { buckets: { key: string }[] } };
    }>('POST', '/t/_search', { size: 0, aggs: { cells: { geohash_grid: { field: 'at', precision: 6 } } } });
    assert.deepEqual(
      aggregations.cells.buckets.map(({ key }) => key),
      ['dr5rsm'],
    );
  });
}

it('OpenSearch ends with the process that started it', { skip: withoutOpenSearch }, async (t) => {
  const data = temporaryFolder(t);
  const script = `
    import { startOpenSearch } from './test/services/opensearch.ts';
    console.log((await startOpenSearch({ after() {} }, { dataDir: process.argv[1] })).endpoint);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script, data], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [endpoint] = await once(child.stdout, 'data');
  assert.ok((await fetch(String(endpoint).trim())).ok, 'it answers while its starter lives');
  child.kill('SIGKILL');
  for (;;) {
    const answered = await fetch(String(endpoint).trim()).catch(() => undefined);
    if (answered === undefined) break;
  }
});
