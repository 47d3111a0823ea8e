/** Commands in hints refer to the same places as the command that ran. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Settings } from '../../src/cli/command.ts';
import { completed } from '../../src/cli/hints.ts';
import { temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';

const settings = (given: Record<string, string | boolean>): Settings =>
  new Map(Object.entries(given).map(([name, written]) => [name, { written, name: `--${name}` }]));

describe('a command in a hint', () => {
  const given = settings({
    'data-dir': '/tmp/it is',
    region: 'us-west-2',
    'endpoint-url': 'http://127.0.0.1:9',
    opensearch: 'https://search:9200',
    'index-prefix': 'x-',
    insecure: true,
    shards: '3',
  });

  it('gets the places that it accepts, quoted for a shell', () => {
    assert.equal(
      completed('see "taxiflow stream describe a", or try --app', given),
      `see "taxiflow stream describe a --data-dir '/tmp/it is' --region us-west-2 --endpoint-url http://127.0.0.1:9", or try --app`,
    );
    assert.equal(completed('"taxiflow results"', given), `"taxiflow results --data-dir '/tmp/it is'"`);
    assert.equal(
      completed('"taxiflow es-setup --check"', given),
      '"taxiflow es-setup --check --region us-west-2 --endpoint https://search:9200 --index-prefix x- --insecure"',
    );
  });

  it('keeps the places it names itself, and gets no default', () => {
    const own = '"taxiflow es-setup --endpoint http://other"';
    assert.equal(
      completed(own, settings({ opensearch: 'https://search:9200', 'data-dir': '.taxiflow' })),
      own,
    );
    assert.equal(completed('"taxiflow nosuch"', given), '"taxiflow nosuch"');
  });

  it('can be pasted: it finds its object where the first command looked', async (t) => {
    const folder = join(temporaryFolder(t), "the user's data");
    const missing = await taxiflow(['stream', 'describe', 'local:a', '--dataDir', folder]);
    assert.equal(missing.code, 1, missing.stderr);
    const [, make] = /^Try: [^"]*"taxiflow (stream create local:a [^"]*)"/m.exec(missing.stderr) ?? [];
    assert.ok(make, `a command is named: ${missing.stderr}`);
    const made = await taxiflow(words(make));
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await taxiflow(['stream', 'describe', 'local:a', '--data-dir', folder])).code, 0);
  });
});

/** Splits a command line like a shell, with quotes. */
function words(line: string): string[] {
  return (line.match(/(?:'[^']*'|\\.|[^\s'])+/g) ?? []).map((word) =>
    word.replace(
      /'([^']*)'|\\(.)/g,
      (_, plain: string | undefined, one: string | undefined) => plain ?? one!,
    ),
  );
}
