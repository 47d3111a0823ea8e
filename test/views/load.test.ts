import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TaxiflowError } from '../../src/errors.ts';
import { loadViews } from '../../src/views/load.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';

const fails = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TaxiflowError, `a TaxiflowError, not ${String(error)}`);
  assert.equal(error.code, code);
  assert.match(error.message, pattern);
  assert.ok(error.hint, 'says what to do next');
  return true;
};

const PICKUPS = {
  name: 'pickups',
  by: { location: { op: 'geohash', lat: { op: 'field', name: 'pickup_lat' }, lon: { op: 'field', name: 'pickup_lon' }, precision: 6 } }, // biome-ignore format: one expression
  window: { kind: 'sliding', size_ms: 3_600_000, slide_ms: 600_000 },
  aggregates: { trips: { fn: 'count' } },
};
const FUNCTION = `({ view, count, sliding, geohash }) =>
  [view({ name: 'pickups', by: { location: geohash('pickup', 6) }, window: sliding('1h', '10m'), aggregates: { trips: count() } })]`;

describe('views from a file', () => {
  const modules: [name: string, text: string][] = [
    ['function.mjs', `export const views = ${FUNCTION};`],
    ['function.js', `export const views = ${FUNCTION};`],
    ['default.mjs', `export default ${FUNCTION};`],
    ['list.mjs', `export const views = ${JSON.stringify([PICKUPS])};`],
    ['list.json', JSON.stringify([PICKUPS])],
    ['named before default.mjs', `export default []; export const views = ${FUNCTION};`],
  ];
  for (const [name, text] of modules) {
    it(`are loaded from ${name}`, async (t) => {
      const folder = temporaryFolder(t);
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
      writeFileSync(join(folder, name), text);
      assert.deepEqual(await loadViews(join(folder, name)), [PICKUPS]);
    });
  }

  it('are found from the folder one is in', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'views.mjs'), `export const views = ${FUNCTION};`);
    const ran = await taxiflow(['process', '--explain', '--views', 'views.mjs'], { cwd: folder });
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /view pickups\n.*sliding 1h every 10m/);
  });

  const mistakes: [name: string, text: string, code: string, message: RegExp][] = [
    ['nothing.mjs', 'export const other = 1;', 'bad-view', /nothing\.mjs exports no views/],
    ['syntax.mjs', 'export const views = [', 'bad-view', /cannot load \S*syntax\.mjs: /],
    ['throws.mjs', 'throw new Error("not today");', 'bad-view', /cannot load \S*throws\.mjs: not today/],
    ['syntax.json', '[', 'bad-view', /cannot load \S*syntax\.json: /],
    ['object.json', '{}', 'bad-view', /^views: not a list/],
    ['deep.json', `[${'{"x":'.repeat(3_000)}1${'}'.repeat(3_000)}]`, 'bad-view', /^views\[0\]: nested/],
    ['getter.mjs', 'export const views = [{ get name() { throw new Error("not now"); } }];', 'bad-view', /not now/], // biome-ignore format: one line
    ['empty.mjs', 'export const views = [];', 'bad-view', /^views: not a list of at least one/],
    [
      'mistake.json',
      JSON.stringify([PICKUPS, { ...PICKUPS, window: {} }]),
      'bad-view',
      /^views\[1\]\.window\.kind/,
    ],
  ];
  for (const [name, text, code, message] of mistakes) {
    it(`are an error that says where, for ${name}`, async (t) => {
      const path = join(temporaryFolder(t), name);
      writeFileSync(path, text);
      await assert.rejects(loadViews(path), fails(code, message));
    });
  }

  // Lines and columns as an editor counts them, found by hand.
  const places: [name: string, text: string, message: RegExp][] = [
    ['a.mjs', 'export const views = ({ view }) => [\n  view({ name: "x",, })\n];\n', /: \S*a\.mjs:2:20: Unexpected token ',', in: view\(\{ name: "x",, \}\)$/],
    ['b.mjs', 'export const views = [\n', /: \S*b\.mjs:2:1: Unexpected end of input$/],
    ['c.mjs', 'import { q } from "node:fs";\nexport const views = [q];\n', /c\.mjs:1:10: .* 'q', in: import \{ q \}/],
    ['d.mjs', 'const x = 1;\nexport const views = foo.bar;\n', /cannot load \S*d\.mjs: foo is not defined \(\S*d\.mjs:2:22\)$/],
    ['e.mjs', 'export const views = () => {\n  return [].a.b;\n};\n', /undefined.* \(\S*e\.mjs:2:15\)$/],
    ['a.json', '[\n  {"name": "x"},,\n]', /: \S*a\.json:2:17: Unexpected token ',', in: \{"name": "x"\},,$/],
    ['b.json', '[\n  {"name": "x"}\n', /: \S*b\.json:3:1: /],
    ['c.json', '[\n  {"name" "x"}]', /: \S*c\.json:2:11: .*, in: \{"name" "x"\}\]$/],
    ['d.json', '[\n  {"name": tru}]', /: \S*d\.json:2:12: .*, in: /],
    ['e.json', '[\n  {"name": "a\\q"}]', /: \S*e\.json:2:14: .*, in: /],
    ['f.json', '[1]\n\n x', /: \S*f\.json:3:2: .*, in: x$/],
    ['g.json', '[1,\n]', /: \S*g\.json:2:1: Unexpected token '\]', in: \]$/],
    ['h.json', '', /: \S*h\.json:1:1: Unexpected end of JSON input$/],
    ['i.json', '[01]', /: \S*i\.json:1:3: /],
    ['j.json', "{'a': 1}", /: \S*j\.json:1:2: /],
    ['k.json', '{"a": 1, }', /: \S*k\.json:1:10: /],
    ['l.json', '[1 2]', /: \S*l\.json:1:4: /],
    ['m.json', '{"a": "b\nc"}', /: \S*m\.json:1:9: /],
  ]; // biome-ignore format: a case a line
  for (const [name, text, message] of places) {
    it(`are refused with file, line, column and the line of the mistake, as ${name}`, async (t) => {
      const path = join(temporaryFolder(t), name);
      writeFileSync(path, text);
      await assert.rejects(loadViews(path), fails('bad-view', message));
    });
  }

  it('are refused with the place of a mistake in a module they import', async (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'own.mjs'), 'export const a = 1;\nlet a = 2;\n');
    writeFileSync(join(folder, 'views.mjs'), "import { a } from './own.mjs';\nexport const views = [a];\n");
    const { code, stderr } = await taxiflow(['process', '--views', 'views.mjs'], { cwd: folder });
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^Error: cannot load views\.mjs: own\.mjs:2:5: Identifier 'a' has .*, in: let a = 2;\nTry: /,
    );
  });

  it('are an error where there is no file', async (t) => {
    await assert.rejects(loadViews(join(temporaryFolder(t), 'none.mjs')), fails('no-views', /none\.mjs/));
  });

  it('are an error, not a crash, where their function throws', async (t) => {
    const path = join(temporaryFolder(t), 'views.mjs');
    writeFileSync(path, 'export const views = ({ nosuch }) => [nosuch()];');
    await assert.rejects(loadViews(path), fails('bad-view', /views\.mjs/));
  });

  it('say which word of a module had too many arguments', async (t) => {
    const path = join(temporaryFolder(t), 'views.mjs');
    writeFileSync(path, `export const views = ({ tumbling }) => [tumbling('1d', {}, 5)];`);
    await assert.rejects(
      loadViews(path),
      fails('bad-view', /views\.mjs: tumbling\(.*\): it takes 1 or 2 arguments, not 3$/),
    );
  });

  it('may be the default ones, written down as JSON', async (t) => {
    const path = join(temporaryFolder(t), 'views.json');
    writeFileSync(path, JSON.stringify(taxiViews()));
    assert.deepEqual(await loadViews(path), taxiViews());
  });
});
