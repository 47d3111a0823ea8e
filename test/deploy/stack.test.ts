/** Stacks where CloudFormation says what no emulator does: failures, refusals, other states, pages. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Tasks } from '../../src/deploy/cluster.ts';
import { Buckets } from '../../src/deploy/left-buckets.ts';
import { type Plan, type Stack, Stacks, type Wanted } from '../../src/deploy/stack.ts';
import type { StackEvent } from '../../src/deploy/stack-events.ts';
import { leftBy, tearDown } from '../../src/deploy/teardown.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { TestClock } from '../clock.ts';
import type { Answer } from '../services/http.ts';
import {
  elements,
  eventsXml,
  type Fake,
  fakeCloudFormation,
  MISSING,
  members,
  type Said,
  type Script,
  STACK_ID,
  stackXml,
  type Told,
} from './fake-cloudformation.ts';

/** Waits take no time. */
const CLOCK = new TestClock({ base: () => Date.now() });

function stacksAt(t: TestContext, { url }: Fake, signal?: AbortSignal): Stacks {
  const stacks = new Stacks({ endpointUrl: url, clock: CLOCK, ...(signal ? { signal } : {}) });
  t.after(() => stacks.close());
  return stacks;
}

const WANTED: Wanted = {
  name: 'taxiflow',
  template: '{"Resources":{}}',
  parameters: new Map([
    ['Image', 'a@sha256:1'],
    ['Shards', undefined],
    ['New', undefined],
  ]),
};

const PLAN: Plan = {
  creates: true,
  name: 'taxiflow',
  stackId: STACK_ID,
  changeSet: 'arn:change',
  changes: [],
};

const changeSet = (Status: string, more = '') =>
  elements({ StackId: STACK_ID, StackName: 'taxiflow', ChangeSetId: 'arn:change', Status }) + more;
const change = (LogicalResourceId: string, Action = 'Add', Replacement?: string) =>
  `<Type>Resource</Type><ResourceChange>${elements({ Action, LogicalResourceId, ResourceType: 'AWS::Test::Thing', Replacement })}</ResourceChange>`;
const created = elements({ Id: 'arn:change', StackId: STACK_ID });

async function refused(work: Promise<unknown>): Promise<TaxiflowError> {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TaxiflowError, String(error));
  assert.ok(!error.message.includes('\n') && !error.hint?.includes('\n') && error.hint, 'one line, one hint');
  return error;
}

/** Answers about events: each time the list is asked for anew, the next of these, in pages of two. */
function pagesOf(...tellings: readonly (readonly Told[])[]): Script['x'] {
  let turn = -1;
  return (form) => {
    const token = form.get('NextToken');
    if (token === null) turn = Math.min(turn + 1, tellings.length - 1);
    const [at = 0, from = 0] = token?.split(':').map(Number) ?? [turn, 0];
    const events = tellings[at]!;
    return eventsXml(
      events.slice(from, from + 2),
      from + 2 < events.length ? { next: `${at}:${from + 2}` } : {},
    );
  };
}

describe('a plan', () => {
  it('has the changes of all pages, once AWS has made it', async (t) => {
    const fake = await fakeCloudFormation(t, {
      CreateChangeSet: [created],
      DescribeChangeSet: [
        changeSet('CREATE_PENDING'),
        changeSet('CREATE_IN_PROGRESS'),
        changeSet(
          'CREATE_COMPLETE',
          members('Changes', [change('A'), change('B', 'Modify', 'True')]) + elements({ NextToken: 'two' }),
        ),
        changeSet(
          'CREATE_COMPLETE',
          members('Changes', [change('C', 'Remove'), change('D', 'Modify', 'Conditional')]),
        ),
      ],
    });
    const plan = await stacksAt(t, fake).plan(WANTED, undefined);
    assert.deepEqual(
      plan.changes.map(({ resource, action, replacement }) => [resource, action, replacement]),
      [
        ['A', 'add', 'no'],
        ['B', 'modify', 'yes'],
        ['C', 'remove', 'no'],
        ['D', 'modify', 'maybe'],
      ],
    );
    assert.deepEqual([plan.creates, plan.stackId, plan.changeSet], [true, STACK_ID, 'arn:change']);
    const [asked] = fake.asked;
    assert.equal(asked?.get('ChangeSetType'), 'CREATE');
    assert.deepEqual(
      [...asked!.entries()].filter(([key]) => key.startsWith('Parameters')),
      [
        ['Parameters.member.1.ParameterKey', 'Image'],
        ['Parameters.member.1.ParameterValue', 'a@sha256:1'],
      ],
    );
    assert.equal(fake.asked.at(-1)?.get('NextToken'), 'two');
  });

  it('keeps the values of a stack, where nothing else is given and the stack has them', async (t) => {
    const fake = await fakeCloudFormation(t, {
      DescribeStacks: [stackXml('UPDATE_COMPLETE', { parameters: ['Image', 'Shards', 'Old'] })],
      CreateChangeSet: [created],
      DescribeChangeSet: [changeSet('CREATE_COMPLETE', members('Changes', [change('A', 'Modify', 'False')]))],
    });
    const stacks = stacksAt(t, fake);
    const plan = await stacks.plan(WANTED, await stacks.find('taxiflow'));
    assert.equal(plan.creates, false);
    const asked = fake.asked.find((form) => form.get('Action') === 'CreateChangeSet')!;
    assert.equal(asked.get('ChangeSetType'), 'UPDATE');
    assert.deepEqual(
      [...asked.entries()].filter(([key]) => key.startsWith('Parameters')),
      [
        ['Parameters.member.1.ParameterKey', 'Image'],
        ['Parameters.member.1.ParameterValue', 'a@sha256:1'],
        ['Parameters.member.2.ParameterKey', 'Shards'],
        ['Parameters.member.2.UsePreviousValue', 'true'],
      ],
    );
  });

  for (const reason of [
    "The submitted information didn't contain changes. Submit different information to create a change set.",
    'No updates are to be performed.',
  ])
    it(`without a change is deleted: ${reason.slice(0, 20)}`, async (t) => {
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [stackXml('CREATE_COMPLETE')],
        CreateChangeSet: [created],
        DescribeChangeSet: [changeSet('FAILED', elements({ StatusReason: reason }))],
        DeleteChangeSet: [''],
      });
      const stacks = stacksAt(t, fake);
      const plan = await stacks.plan(WANTED, await stacks.find('taxiflow'));
      assert.deepEqual(plan.changes, []);
      assert.equal(fake.asked.at(-1)?.get('Action'), 'DeleteChangeSet');
      assert.equal(fake.asked.at(-1)?.get('ChangeSetName'), 'arn:change');
    });

  it('that AWS can not make is deleted with the empty stack it was for, and said why', async (t) => {
    const fake = await fakeCloudFormation(t, {
      CreateChangeSet: [created],
      DescribeChangeSet: [
        changeSet('FAILED', elements({ StatusReason: 'The following hook(s) failed: [X]' })),
      ],
      DeleteChangeSet: [''],
      DescribeStacks: [stackXml('REVIEW_IN_PROGRESS'), stackXml('DELETE_IN_PROGRESS'), MISSING],
      DeleteStack: [''],
    });
    const error = await refused(stacksAt(t, fake).plan(WANTED, undefined));
    assert.deepEqual([error.code, /hook\(s\) failed/.test(error.message)], ['aws-refused', true]);
    assert.equal(fake.asked.find((form) => form.get('Action') === 'DeleteStack')?.get('StackName'), STACK_ID);
  });

  it('whose first answer was lost is found by its name', async (t) => {
    let made: string | null = null;
    const fake = await fakeCloudFormation(t, {
      CreateChangeSet: (form) => {
        if (made !== null)
          return {
            code: 'AlreadyExistsException',
            message: `ChangeSet ${made} cannot be created due to a mismatch with existing attribute Template`,
          };
        made = form.get('ChangeSetName');
        return 'cut';
      },
      DescribeChangeSet: [changeSet('CREATE_COMPLETE', members('Changes', [change('A')]))],
    });
    assert.equal((await stacksAt(t, fake).plan(WANTED, undefined)).changes.length, 1);
    assert.deepEqual(fake.actions(), ['CreateChangeSet', 'CreateChangeSet', 'DescribeChangeSet']);
  });
});

const REVIEWED: Told = [0, 'taxiflow', 'REVIEW_IN_PROGRESS', 'User Initiated'];
const STARTED: Told = [1, 'taxiflow', 'CREATE_IN_PROGRESS', 'User Initiated'];
/** What a failed creation says, the newest first, except that events of one second come as they like. */
const FAILED: readonly Told[] = [
  [9, 'taxiflow', 'ROLLBACK_COMPLETE'],
  [5, 'Service', 'CREATE_FAILED', 'Resource creation cancelled'],
  [8, 'Stream', 'DELETE_COMPLETE'],
  [
    6,
    'taxiflow',
    'ROLLBACK_IN_PROGRESS',
    'The following resource(s) failed to create: [Domain, Stream, Service].',
  ],
  [5, 'Role', 'CREATE_FAILED', 'Invalid principal in policy, the second to fail'],
  [4, 'Domain', 'CREATE_FAILED', 'Limit of domains reached\n(Service: OpenSearch, Status Code: 409)'],
  [3, 'Stream', 'CREATE_FAILED', 'Resource creation Cancelled'],
  [2, 'Domain', 'CREATE_IN_PROGRESS'],
  STARTED,
  REVIEWED,
];

describe('an operation', () => {
  it('is followed to its end, each event told once and in order, whatever the pages', async (t) => {
    const progress: Told[][] = [
      [REVIEWED],
      [[2, 'Domain', 'CREATE_IN_PROGRESS'], STARTED, REVIEWED],
      [
        [3, 'Stream', 'CREATE_IN_PROGRESS'],
        [4, 'Stream', 'CREATE_COMPLETE'],
        [2, 'Domain', 'CREATE_IN_PROGRESS'],
        STARTED,
        REVIEWED,
      ],
      [
        [6, 'taxiflow', 'CREATE_COMPLETE'],
        [5, 'Domain', 'CREATE_COMPLETE'],
        [4, 'Stream', 'CREATE_COMPLETE'],
        [3, 'Stream', 'CREATE_IN_PROGRESS'],
        STARTED,
        REVIEWED,
      ],
    ];
    const fake = await fakeCloudFormation(t, {
      DescribeStackEvents: pagesOf(...progress)!,
      ExecuteChangeSet: [''],
    });
    const told: StackEvent[] = [];
    const { status } = await stacksAt(t, fake).execute(PLAN, (event) => told.push(event));
    assert.equal(status, 'CREATE_COMPLETE');
    assert.deepEqual(
      told.map(({ resource, status }) => `${resource} ${status}`),
      [
        ...['taxiflow CREATE_IN_PROGRESS', 'Domain CREATE_IN_PROGRESS', 'Stream CREATE_IN_PROGRESS'],
        ...['Stream CREATE_COMPLETE', 'Domain CREATE_COMPLETE', 'taxiflow CREATE_COMPLETE'],
      ],
    );
    const execute = fake.asked.find((form) => form.get('Action') === 'ExecuteChangeSet')!;
    assert.deepEqual(
      [execute.get('ChangeSetName'), execute.get('RetainExceptOnCreate')],
      ['arn:change', 'true'],
    );
    assert.match(execute.get('ClientRequestToken') ?? '', /^[\da-f-]{36}$/, 'a repetition is recognized');
  });

  it('of a stack with a long history reads no more of it than it needs', async (t) => {
    const old: Told[] = Array.from({ length: 40 }, (_, i) => [0, `Old${i}`, 'UPDATE_COMPLETE']);
    const before: Told[] = [[1, 'taxiflow', 'UPDATE_COMPLETE'], ...old];
    const begun: Told[] = [[2, 'taxiflow', 'UPDATE_IN_PROGRESS'], ...before];
    const fake = await fakeCloudFormation(t, {
      DescribeStackEvents: pagesOf(before, begun, [
        [4, 'taxiflow', 'UPDATE_COMPLETE'],
        [3, 'A', 'UPDATE_COMPLETE'],
        ...begun,
      ])!,
      ExecuteChangeSet: [''],
    });
    const told: string[] = [];
    await stacksAt(t, fake).execute({ ...PLAN, creates: false }, ({ resource }) => told.push(resource));
    assert.deepEqual(told, ['taxiflow', 'A', 'taxiflow'], 'nothing old is told');
    assert.ok(fake.asked.length < 10, `${fake.asked.length} requests`);
  });

  it('that fails names the first resource that failed by itself, not those that were cancelled', async (t) => {
    const fake = await fakeCloudFormation(t, {
      DescribeStackEvents: pagesOf([REVIEWED], [STARTED, REVIEWED], FAILED)!,
      ExecuteChangeSet: [''],
    });
    const error = await refused(stacksAt(t, fake).execute(PLAN, () => {}));
    assert.equal(error.code, 'stack-failed');
    assert.equal(
      error.message,
      'stack taxiflow was not created: Domain (AWS::Test::Domain): Limit of domains reached (Service: OpenSearch, Status Code: 409)',
    );
    assert.match(error.hint ?? '', /deploy down/);
  });

  it('an update that is rolled back says that the stack is as it was', async (t) => {
    const before: Told[] = [
      [1, 'taxiflow', 'CREATE_COMPLETE'],
      [0, 'Old', 'CREATE_FAILED', 'of an earlier operation'],
    ];
    const fake = await fakeCloudFormation(t, {
      DescribeStackEvents: pagesOf(before, [
        [7, 'taxiflow', 'UPDATE_ROLLBACK_COMPLETE'],
        [6, 'taxiflow', 'UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS'],
        [5, 'taxiflow', 'UPDATE_ROLLBACK_IN_PROGRESS'],
        [4, 'Stream', 'UPDATE_FAILED', 'Too many shards'],
        [3, 'taxiflow', 'UPDATE_IN_PROGRESS'],
        ...before,
      ])!,
      ExecuteChangeSet: [''],
    });
    const error = await refused(stacksAt(t, fake).execute({ ...PLAN, creates: false }, () => {}));
    assert.equal(
      error.message,
      'stack taxiflow was not updated: Stream (AWS::Test::Stream): Too many shards',
    );
    assert.match(error.hint ?? '', /the stack is as it was/);
  });

  it('goes on when nobody looks any more', async (t) => {
    const stop = new AbortController();
    const fake = await fakeCloudFormation(t, {
      DescribeStackEvents: pagesOf([REVIEWED], [STARTED, REVIEWED])!,
      ExecuteChangeSet: [''],
    });
    const outcome = await stacksAt(t, fake, stop.signal).execute(PLAN, () => stop.abort());
    assert.equal(outcome.status, undefined);
    assert.equal(fake.actions().filter((action) => action !== 'DescribeStackEvents').length, 1);
  });
});

describe('a stack that is there', () => {
  const CAUSE = /Domain \(AWS::Test::Domain\): Limit of domains reached/;
  for (const [status, code, message, hint] of [
    ['ROLLBACK_COMPLETE', 'stack-left', CAUSE, /"taxiflow deploy down"/],
    ['ROLLBACK_FAILED', 'stack-left', CAUSE, /"taxiflow deploy down"/],
    ['CREATE_FAILED', 'stack-left', CAUSE, /"taxiflow deploy down"/],
    ['DELETE_FAILED', 'stack-left', /is half deleted/, /"taxiflow deploy down" goes on/],
    ['UPDATE_ROLLBACK_FAILED', 'stack-left', /stuck after a failed update/, /continue-update-rollback/],
    ['UPDATE_FAILED', 'stack-left', /stuck after a failed update/, /rollback-stack --stack-name taxiflow/],
    ['UPDATE_IN_PROGRESS', 'stack-busy', /under way \(UPDATE_IN_PROGRESS\)/, /"taxiflow deploy status"/],
    ['UPDATE_COMPLETE_CLEANUP_IN_PROGRESS', 'stack-busy', /under way/, /"taxiflow deploy status"/],
    ['DELETE_IN_PROGRESS', 'stack-busy', /under way/, /"taxiflow deploy status"/],
  ] as const)
    it(`${status} is refused as ${code}, with the cause`, async (t) => {
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [stackXml(status)],
        DescribeStackEvents: pagesOf(FAILED)!,
      });
      const stacks = stacksAt(t, fake);
      const error = await refused(stacks.refuseUnready((await stacks.find('taxiflow'))!));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
    });

  for (const status of ['CREATE_COMPLETE', 'UPDATE_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE'])
    it(`${status} is ready`, async (t) => {
      const fake = await fakeCloudFormation(t, { DescribeStacks: [stackXml(status)] });
      const stacks = stacksAt(t, fake);
      const stack = (await stacks.find('taxiflow'))!;
      await stacks.refuseUnready(stack);
      await stacks.refuseUndeletable(stack);
    });

  it('and is not taxiflow’s is left alone, in every state', async (t) => {
    for (const status of ['CREATE_COMPLETE', 'ROLLBACK_COMPLETE', 'UPDATE_IN_PROGRESS', 'DELETE_FAILED']) {
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [stackXml(status, { tags: { owner: 'somebody' } })],
      });
      const stacks = stacksAt(t, fake);
      const stack = (await stacks.find('taxiflow'))!;
      for (const refusal of [stacks.refuseUnready(stack), stacks.refuseUndeletable(stack)])
        assert.equal((await refused(refusal)).code, 'stack-taken', status);
    }
  });

  it('in review is planned anew, unless somebody else has a plan for it', async (t) => {
    for (const [names, isOurs] of [
      [['taxiflow-5d0c2f10'], true],
      [[], true],
      [['taxiflow-5d0c2f10', 'mine'], false],
    ] as const) {
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [stackXml('REVIEW_IN_PROGRESS', { tags: {} })],
        ListChangeSets: [
          members(
            'Summaries',
            names.map((ChangeSetName) => elements({ ChangeSetName })),
          ),
        ],
        CreateChangeSet: [created],
        DescribeChangeSet: [changeSet('CREATE_COMPLETE', members('Changes', [change('A')]))],
      });
      const stacks = stacksAt(t, fake);
      const stack = (await stacks.find('taxiflow'))!;
      if (!isOurs) assert.equal((await refused(stacks.refuseUnready(stack))).code, 'stack-taken');
      else {
        await stacks.refuseUnready(stack);
        assert.equal((await stacks.plan(WANTED, stack)).creates, true);
      }
    }
  });
});

describe('a refusal', () => {
  const find = async (t: TestContext, ...answers: Said[]) => {
    const fake = await fakeCloudFormation(t, { DescribeStacks: answers });
    return { fake, error: await refused(stacksAt(t, fake).find('taxiflow')) };
  };

  it('of an account without rights names the right', async (t) => {
    const message =
      'User: arn:aws:iam::123456789012:user/ann is not authorized to perform: cloudformation:DescribeStacks on resource: arn:aws:cloudformation:eu-west-1:123456789012:stack/taxiflow/* because no identity-based policy allows the cloudformation:DescribeStacks action';
    const { fake, error } = await find(t, { code: 'AccessDenied', message, status: 403 });
    assert.equal(error.code, 'access-denied');
    assert.match(error.message, /^not allowed to cloudformation:DescribeStacks: User: /);
    assert.match(error.hint ?? '', /^add cloudformation:DescribeStacks /);
    assert.equal(fake.asked.length, 1);
    const silent = await find(t, { code: 'AccessDenied', message: 'Access Denied', status: 403 });
    assert.match(
      silent.error.hint ?? '',
      /^add cloudformation:DescribeStacks /,
      'where AWS does not say which',
    );
  });

  it('of credentials that have expired is no matter of rights', async (t) => {
    const { error } = await find(t, {
      code: 'ExpiredToken',
      message: 'The security token included in the request is expired',
      status: 403,
    });
    assert.equal(error.code, 'bad-credentials');
    assert.match(error.hint ?? '', /log in again/);
  });

  it('for a quota is not tried again', async (t) => {
    const fake = await fakeCloudFormation(t, {
      CreateChangeSet: [{ code: 'LimitExceededException', message: 'Limit for stack has been exceeded' }],
    });
    const error = await refused(stacksAt(t, fake).plan(WANTED, undefined));
    assert.equal(error.code, 'aws-quota');
    assert.match(error.message, /cloudformation:CreateChangeSet.*Limit for stack has been exceeded/);
    assert.equal(fake.asked.length, 1);
  });

  for (const code of ['Throttling', 'RequestLimitExceeded', 'ThrottlingException'])
    it(`${code} passes, or is told as such after many tries`, async (t) => {
      const throttled: Said = { code, message: 'Rate exceeded' };
      const fake = await fakeCloudFormation(t, {
        DescribeStacks: [throttled, throttled, throttled, stackXml('CREATE_COMPLETE')],
      });
      assert.equal((await stacksAt(t, fake).find('taxiflow'))?.status, 'CREATE_COMPLETE');
      assert.equal(fake.asked.length, 4);
      const { error, fake: strict } = await find(t, throttled);
      assert.equal(error.code, 'aws-throttled');
      assert.ok(strict.asked.length > 8, `${strict.asked.length} tries`);
    });

  it('by a service that is ill or away is told as such', async (t) => {
    const { fake, error } = await find(t, { code: 'InternalFailure', message: 'sorry', status: 500 });
    assert.deepEqual([error.code, fake.asked.length], ['aws-unreachable', 4]);
    const away = new Stacks({ endpointUrl: 'http://127.0.0.1:1', clock: CLOCK });
    const nobody = await refused(away.find('taxiflow'));
    assert.deepEqual([nobody.code, /ECONNREFUSED/.test(nobody.message)], ['aws-unreachable', true]);
  });

  it('without a region says where to set one', async (t) => {
    await fakeCloudFormation(t, {});
    delete process.env['AWS_REGION'];
    const stacks = new Stacks({ clock: CLOCK });
    assert.equal((await refused(stacks.region())).code, 'no-region');
    assert.equal((await refused(stacks.find('taxiflow'))).code, 'no-region');
  });
});

const resource = (LogicalResourceId: string, ResourceType: string, ResourceStatus: string) =>
  elements({
    LogicalResourceId,
    ResourceType,
    ResourceStatus,
    PhysicalResourceId: LogicalResourceId.toLowerCase(),
  });
const STACK: Stack = {
  id: STACK_ID,
  name: 'taxiflow',
  status: 'CREATE_COMPLETE',
  tags: new Map(),
  parameters: new Set(),
  outputs: new Map(),
};
const noTasks = (): Answer => ({ body: { taskArns: [] } });

async function tornDown(t: TestContext, script: Script, stack = STACK) {
  const fake = await fakeCloudFormation(t, script, noTasks);
  const tasks = new Tasks({ endpointUrl: fake.url, clock: CLOCK });
  const steps: string[] = [];
  const { signal } = new AbortController();
  const outcome = tearDown({ stacks: stacksAt(t, fake), tasks, signal }, stack, {
    onStep: (text) => steps.push(text),
    onEvent: () => {},
  });
  return { fake, steps, outcome };
}

describe('a deletion', () => {
  const failure: readonly Told[] = [
    [4, 'taxiflow', 'DELETE_FAILED', 'The following resource(s) failed to delete: [StateBucket].'],
    [3, 'StateBucket', 'DELETE_FAILED', 'The bucket you tried to delete is not empty'],
    [1, 'taxiflow', 'DELETE_IN_PROGRESS'],
  ];
  const end: readonly Told[] = [
    [9, 'taxiflow', 'DELETE_COMPLETE'],
    [6, 'taxiflow', 'DELETE_IN_PROGRESS'],
    ...failure,
  ];

  it('that a bucket stops goes on without it, since it holds data', async (t) => {
    const { fake, steps, outcome } = await tornDown(t, {
      ListStackResources: [
        members('StackResourceSummaries', [
          resource('StateBucket', 'AWS::S3::Bucket', 'DELETE_FAILED'),
          resource('Group', 'AWS::EC2::SecurityGroup', 'DELETE_FAILED'),
        ]),
      ],
      DescribeStackEvents: pagesOf([], failure, failure, end)!,
      DeleteStack: [''],
    });
    assert.equal((await outcome).status, 'DELETE_COMPLETE');
    const deletes = fake.asked.filter((form) => form.get('Action') === 'DeleteStack');
    assert.deepEqual(
      deletes.map((form) => [
        form.get('StackName'),
        form.get('RetainResources.member.1'),
        form.get('RetainResources.member.2'),
      ]),
      [
        [STACK_ID, null, null],
        [STACK_ID, 'StateBucket', null],
      ],
    );
    assert.deepEqual(steps, [
      'not all was deleted, once more: StateBucket (AWS::S3::Bucket): The bucket you tried to delete is not empty',
    ]);
  });

  it('that fails again and again is told with its cause', async (t) => {
    const again = (second: number): Told[] => [
      [second + 2, 'taxiflow', 'DELETE_FAILED'],
      [second + 1, 'Group', 'DELETE_FAILED', 'resource sg-1 has a dependent object'],
      [second, 'taxiflow', 'DELETE_IN_PROGRESS'],
    ];
    const [one, two, three] = [
      again(1),
      [...again(11), ...again(1)],
      [...again(21), ...again(11), ...again(1)],
    ];
    const { fake, outcome } = await tornDown(t, {
      ListStackResources: [
        members('StackResourceSummaries', [resource('Group', 'AWS::EC2::SecurityGroup', 'DELETE_FAILED')]),
      ],
      DescribeStackEvents: pagesOf([], one, one, two, two, three)!,
      DeleteStack: [''],
    });
    const error = await refused(outcome);
    assert.equal(error.code, 'stack-failed');
    assert.match(
      error.message,
      /was not deleted: Group \(AWS::Test::Group\): resource sg-1 has a dependent object/,
    );
    assert.equal(fake.actions().filter((action) => action === 'DeleteStack').length, 3);
  });

  it('that is under way is joined, from wherever it is', async (t) => {
    const { fake, outcome } = await tornDown(
      t,
      {
        ListStackResources: [members('StackResourceSummaries', [])],
        DescribeStackEvents: pagesOf(
          [
            [6, 'taxiflow', 'DELETE_IN_PROGRESS'],
            [2, 'taxiflow', 'CREATE_COMPLETE'],
          ],
          end,
        )!,
      },
      { ...STACK, status: 'DELETE_IN_PROGRESS' },
    );
    assert.equal((await outcome).status, 'DELETE_COMPLETE');
    assert.ok(!fake.actions().includes('DeleteStack'));
  });

  it('of a stack that is still being made does not end with the end of that', async (t) => {
    const { outcome } = await tornDown(
      t,
      {
        ListStackResources: [members('StackResourceSummaries', [])],
        DescribeStacks: [stackXml('DELETE_IN_PROGRESS')],
        DescribeStackEvents: pagesOf(
          [STARTED],
          [[2, 'taxiflow', 'CREATE_COMPLETE'], STARTED],
          [[3, 'taxiflow', 'DELETE_IN_PROGRESS'], [2, 'taxiflow', 'CREATE_COMPLETE'], STARTED],
          [[9, 'taxiflow', 'DELETE_COMPLETE'], [3, 'taxiflow', 'DELETE_IN_PROGRESS'], STARTED],
        )!,
        DeleteStack: [''],
      },
      { ...STACK, status: 'CREATE_IN_PROGRESS' },
    );
    assert.equal((await outcome).status, 'DELETE_COMPLETE');
  });
});

describe('what deleted stacks have left', () => {
  const idOf = (n: number) => `${STACK_ID}-${n}`;
  const versions = (inner: string) => ({
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</ListVersionsResult>`,
  });

  it('is found among all of this name, but not in those of others, nor what is gone', async (t) => {
    const summaries = (ids: number[], name = 'taxiflow') =>
      ids.map((n) => elements({ StackName: name, StackId: idOf(n), StackStatus: 'DELETE_COMPLETE' }));
    const fake = await fakeCloudFormation(
      t,
      {
        ListStacks: [
          members('StackSummaries', [...summaries([9], 'other'), ...summaries([1])]) +
            elements({ NextToken: 'more' }),
          members('StackSummaries', summaries([2, 3])),
        ],
        DescribeStacks: (form) => {
          const id = form.get('StackName')!;
          return id === idOf(3)
            ? stackXml('DELETE_COMPLETE', { id, tags: {} })
            : stackXml('DELETE_COMPLETE', { id });
        },
        DescribeStackEvents: (form) => {
          const id = form.get('StackName')!;
          const kept: Told[] =
            id === idOf(1)
              ? [[5, 'NewBucket', 'DELETE_SKIPPED']]
              : [
                  [5, 'OldBucket', 'DELETE_SKIPPED'],
                  [4, 'GoneBucket', 'DELETE_SKIPPED'],
                  [3, 'SecretBucket', 'DELETE_SKIPPED'],
                  [2, 'Topic', 'DELETE_SKIPPED'],
                  [1, 'MadeBucket', 'CREATE_COMPLETE'],
                ];
          return eventsXml(kept, { id });
        },
      },
      ({ path }) => {
        const error = (status: number, code: string) => ({
          status,
          headers: { 'content-type': 'application/xml' },
          body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`,
        });
        if (path.startsWith('/gonebucket-1')) return error(404, 'NoSuchBucket');
        if (path.startsWith('/secretbucket-1')) return error(403, 'AccessDenied');
        const marked = path.includes('key-marker=a');
        const version = (key: string, size: number) =>
          `<Version><Key>${key}</Key><VersionId>v</VersionId><Size>${size}</Size></Version>`;
        return versions(
          marked
            ? `<IsTruncated>false</IsTruncated>${version('b', 5)}<DeleteMarker><Key>c</Key><VersionId>m</VersionId></DeleteMarker>`
            : `<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>${version('a', 7)}`,
        );
      },
    );
    const buckets = new Buckets({ endpointUrl: fake.url, clock: CLOCK });
    const left = await leftBy({ stacks: stacksAt(t, fake), buckets }, 'taxiflow');
    assert.deepEqual(
      left.map(({ physicalId, held }) => [physicalId, held]),
      [
        ['newbucket-1', { objects: 2, bytes: 12, more: false }],
        ['oldbucket-1', { objects: 2, bytes: 12, more: false }],
        ['secretbucket-1', undefined],
      ],
    );
    assert.ok(!fake.asked.some((form) => form.get('StackName') === idOf(9)), 'another name is not looked at');
  });

  it('an object that can not be deleted ends the emptying with its reason', async (t) => {
    const fake = await fakeCloudFormation(t, {}, ({ path }) =>
      path.includes('?delete') || path.includes('&delete')
        ? {
            headers: { 'content-type': 'application/xml' },
            body: '<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error><Key>a</Key><VersionId>v</VersionId><Code>AccessDenied</Code><Message>Access Denied because object protected by object lock.</Message></Error></DeleteResult>',
          }
        : versions(
            '<IsTruncated>false</IsTruncated><Version><Key>a</Key><VersionId>v</VersionId><Size>1</Size></Version>',
          ),
    );
    const buckets = new Buckets({ endpointUrl: fake.url, clock: CLOCK });
    const error = await refused(buckets.remove('some-bucket', () => {}));
    assert.equal(error.code, 'access-denied');
    assert.match(error.message, /s3:\/\/some-bucket\/a can't be deleted: AccessDenied .*object lock/);
  });
});
