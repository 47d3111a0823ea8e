/** `deploy template` and `deploy cost` as users run them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { templateOf, templateText, withDefaults } from '../../src/deploy/template/template.ts';
import { PARALLEL, run } from './model.ts';

interface Cost {
  readonly prices: { readonly as_of: string; readonly region: string; readonly source: string };
  readonly assumptions: Readonly<Record<string, unknown>>;
  readonly items: readonly { readonly part: string; readonly what: string; readonly usd: number }[];
  readonly total_usd: number;
}

const costOf = async (...args: string[]) => (await run(['deploy', 'cost', '--json', ...args])).json<Cost>();
const partOf = ({ items }: Cost, part: string) =>
  items.filter((item) => item.part === part).reduce((sum, { usd }) => sum + usd, 0);

describe('deploy template', PARALLEL, () => {
  test('prints YAML, or JSON that means the same', async () => {
    const shape = { network: 'own', search: 'domain', autoscale: false } as const;
    const { stdout, stderr } = await run(['deploy', 'template']);
    assert.ok(stdout === templateText(templateOf(shape)));
    assert.equal(stderr, '');
    const asJson = (await run(['deploy', 'template', '--json'])).stdout;
    assert.deepEqual(JSON.parse(asJson), JSON.parse(JSON.stringify(templateOf(shape))));
  });

  test('has the shape that its options say, and their values as defaults', async () => {
    const args = ['--vpc', 'vpc-1a', '--subnets', 'subnet-1, subnet-2', '--autoscale'];
    const search = ['--search', 'existing=https://abc.eu-central-1.aoss.amazonaws.com/'];
    const { stdout } = await run(['deploy', 'template', ...args, ...search]);
    const expected = withDefaults(templateOf({ network: 'given', search: 'existing', autoscale: true }), {
      VpcId: 'vpc-1a',
      SubnetIds: 'subnet-1,subnet-2',
      SearchUrl: 'https://abc.eu-central-1.aoss.amazonaws.com',
      SearchService: 'aoss',
    });
    assert.ok(stdout === templateText(expected));
    const { Parameters } = parse(stdout, { logLevel: 'silent' }) as {
      Parameters: Record<string, { Default?: string }>;
    };
    assert.equal(Parameters['SubnetIds']!.Default, 'subnet-1,subnet-2');
    assert.equal(Parameters['SearchService']!.Default, 'aoss');
  });

  for (const [args, message] of [
    [
      ['--search', 'elastic'],
      /--search elastic is not one of domain, public, serverless, none, existing=URL/,
    ],
    [['--search', 'existing'], /--search existing is not one of .*\nTry: .*existing=https:\/\/HOST/],
    [['--search', 'existing='], /--search existing= is no URL/],
    [['--search', 'existing=http://a.b'], /is no URL that tasks can reach\nTry: write existing=https/],
    [['--search', 'existing=https://u:p@a.b'], /is no URL that tasks can reach/],
    [['--vpc', 'vpc-1'], /--vpc needs two of its subnets\nTry: add --subnets/],
    [['--vpc', 'vpc-1', '--subnets', 'subnet-1'], /--vpc needs two of its subnets/],
    [['--vpc', 'vpc-1', '--subnets', 'subnet-1,x'], /--subnets x is not the id of a subnet/],
    [['--vpc', 'mine', '--subnets', 'subnet-1,subnet-2'], /--vpc mine is not the id of a VPC/],
    [['--subnets', 'subnet-1,subnet-2'], /--subnets needs their VPC\nTry: add --vpc/],
  ] as const)
    test(`refuses ${args.join(' ')}`, async () => {
      const { stdout, stderr } = await run(['deploy', 'template', ...args], { code: 2 });
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 2, 'an error and a hint');
      assert.doesNotMatch(stderr, /u:p@/, 'no password in a message');
    });
});

describe('deploy cost', PARALLEL, () => {
  test('is what the list prices say, with its assumptions', async () => {
    const cost = await costOf();
    assert.match(cost.prices.as_of, /^20\d\d-\d\d$/);
    assert.deepEqual(cost.assumptions, {
      network: 'own',
      search: 'domain',
      autoscale: false,
      shards: 8,
      retention_hours: 24,
      hours: 730,
      trips_per_day: 400_000,
      search_instance: 't3.medium.search',
      search_nodes: 1,
      search_storage_gib: 20,
    });
    const trips = (400_000 * 730) / 24;
    const near = (found: number, expected: number) =>
      assert.ok(Math.abs(found - expected) < 0.02, `${found} and ${expected}`);
    near(partOf(cost, 'stream'), 8 * 730 * 0.015 + (trips / 1e6) * 0.014);
    near(partOf(cost, 'process'), 730 * (0.03238 + 4 * 0.00356 + 0.005));
    near(partOf(cost, 'search'), 730 * 0.073 + 20 * 0.122);
    near(
      cost.total_usd,
      cost.items.reduce((sum, { usd }) => sum + usd, 0),
    );
  });

  test('goes by what the stack has', async () => {
    const all = await costOf();
    const half = await costOf('--hours', '365');
    assert.ok(Math.abs(half.total_usd * 2 - all.total_usd) < 0.1, 'half the time, half the cost');
    const onDemand = await costOf('--shards', '0', '--autoscale');
    assert.match(onDemand.items[0]!.what, /^on demand/);
    assert.equal(partOf(onDemand, 'autoscale'), 0, 'such a stream needs no looking after');
    assert.ok(partOf(await costOf('--autoscale'), 'autoscale') > 0);
    assert.ok(partOf(await costOf('--retention-hours', '25'), 'stream') > 2 * partOf(all, 'stream'));
    assert.equal(partOf(await costOf('--search', 'none'), 'search'), 0);
    assert.equal(partOf(await costOf('--search', 'existing=https://a.b'), 'search'), 0);
    assert.equal(partOf(await costOf('--search', 'serverless'), 'search'), 175.2);
    const given = await costOf('--vpc', 'vpc-1', '--subnets', 'subnet-1,subnet-2');
    assert.ok(partOf(given, 'process') < partOf(all, 'process'), 'no public address');
  });

  test('is a table on stdout, and what it rests on on stderr', async () => {
    const { stdout, stderr } = await run(['deploy', 'cost']);
    const rows = stdout.trimEnd().split('\n');
    assert.match(rows[0]!, /^part +USD a month +what$/);
    assert.match(rows.at(-1)!, /^total +\d+\.\d\d$/);
    assert.match(stderr, /list prices of us-east-1 as of 20\d\d-\d\d, .*check yours/);
    assert.match(stderr, /not counted: /);
  });

  test('refuses a node whose price is not known', async () => {
    const { stderr } = await run(['deploy', 'cost', '--search-instance', 'x9.huge.search'], { code: 2 });
    assert.match(stderr, /no list price of x9\.huge\.search is known\nTry: known are .*t3\.medium\.search/);
  });
});
