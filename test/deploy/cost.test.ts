/** The estimate assumes what the template has. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nameOf } from '../../src/cli/command.ts';
import { deployCommand } from '../../src/cli/commands/deploy.ts';
import { costOf, type Load, METRICS, SEARCH_INSTANCES } from '../../src/deploy/cost.ts';
import { templateOf } from '../../src/deploy/template/template.ts';
import { processFigures, replayFigures } from '../../src/status/emf.ts';
import { VARIANTS } from './variants.ts';

const LOAD: Load = {
  shards: 8,
  retentionHours: 24,
  hours: 730,
  tripsPerDay: 400_000,
  searchInstance: 't3.medium.search',
  searchNodes: 1,
  searchStorage: 20,
};

describe('an estimate', () => {
  it('begins with the defaults of the template', () => {
    const { Parameters } = templateOf({ network: 'own', search: 'domain', autoscale: false });
    const { options } = deployCommand.commands.find((one) => nameOf(one) === 'cost')!;
    for (const [option, parameter] of [
      ['shards', 'Shards'],
      ['retentionHours', 'RetentionHours'],
      ['searchInstance', 'SearchInstance'],
      ['searchNodes', 'SearchNodes'],
      ['searchStorage', 'SearchStorage'],
    ] as const)
      assert.equal(options[option]!.default, Parameters[parameter]!.Default, option);
  });

  it('counts the metrics that replay and processor print', () => {
    const progress = { acknowledged: 0, refused: 0, lag: 0 };
    const both = [
      processFigures(0, 0, { progress: undefined, sinks: [], refused: 0, checkpointAt: 0, checkpointMs: 0 }),
      replayFigures({ progress, written: undefined, rejected: 0, paced: true }),
    ];
    const names = both.flatMap(({ counts, levels, times }) =>
      Object.keys({ ...counts, ...levels, ...times }),
    );
    assert.equal(names.length, METRICS);
  });

  it('is there for every shape, and each part of it is a cost', () => {
    for (const { name, shape } of VARIANTS)
      for (const { part, dollars, what } of costOf(shape, LOAD))
        assert.ok(dollars > 0 && Number.isFinite(dollars) && what !== '', `${name} ${part}`);
    for (const searchInstance of SEARCH_INSTANCES) {
      const items = costOf(
        { network: 'own', search: 'domain', autoscale: false },
        { ...LOAD, searchInstance },
      );
      assert.ok(items.some(({ what }) => what.includes(searchInstance)));
    }
  });

  it('goes by the size of a task', () => {
    const { Parameters } = templateOf({ network: 'own', search: 'none', autoscale: false });
    const items = costOf({ network: 'own', search: 'none', autoscale: false }, LOAD);
    const [cores, gb] = [
      Number(Parameters['Cpu']!.Default) / 1024,
      Number(Parameters['Memory']!.Default) / 1024,
    ];
    assert.match(
      items.find(({ part }) => part === 'process')!.what,
      new RegExp(`^${cores} ARM core, ${gb} GB`),
    );
  });
});
