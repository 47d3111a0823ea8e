/** The tasks of a stack's cluster: its service, and those that run once. */

import { randomUUID } from 'node:crypto';
import {
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  DescribeTasksCommand,
  ECSClient,
  ListTasksCommand,
  type NetworkConfiguration,
  RunTaskCommand,
  StopTaskCommand,
  type Task,
} from '@aws-sdk/client-ecs';
import { TaxiflowError } from '../errors.ts';
import { errorName } from '../net/aws-errors.ts';
import { type AwsPlace, ask, clientSettings, watch } from './requests.ts';

export interface ServiceState {
  readonly running: number;
  readonly desired: number;
  readonly pending: number;
  /** The newest first. */
  readonly events: readonly string[];
  /** Why the last task that stopped did; undefined if none did lately. */
  readonly stopped: string | undefined;
}

/** A task that has come to its end. */
export interface Ended {
  /** Undefined if its container never ran. */
  readonly exitCode: number | undefined;
  readonly reason: string;
}

/** Where tasks run, and the service whose network they share. */
export interface Cluster {
  readonly cluster: string;
  readonly service: string;
}

const STARTED_BY = 'taxiflow deploy';
const EVENTS = 3;
/** What one request may name. */
const PAGE = 100;

/** A task that was started on request. */
export interface OneOff {
  readonly task: string;
  /** The command it was started with, or the family of its definition. */
  readonly what: string;
  readonly state: string;
  readonly exitCode: number | undefined;
  readonly reason: string | undefined;
}

export class Tasks {
  readonly #place: AwsPlace;
  readonly #client: ECSClient;

  constructor(place: AwsPlace) {
    this.#place = place;
    this.#client = new ECSClient(clientSettings(place));
  }

  close(): void {
    this.#client.destroy();
  }

  /** The state of a service; undefined if it isn't there. */
  async service({ cluster, service }: Cluster): Promise<ServiceState | undefined> {
    const found = await this.#service(cluster, service);
    if (!found || found.status === 'INACTIVE') return undefined;
    const name = service.split('/').at(-1);
    const [last] = (await this.#tasks(cluster, 'STOPPED', name)).sort(
      (a, b) => (b.stoppedAt?.getTime() ?? 0) - (a.stoppedAt?.getTime() ?? 0),
    );
    return {
      running: found.runningCount ?? 0,
      desired: found.desiredCount ?? 0,
      pending: found.pendingCount ?? 0,
      events: (found.events ?? []).slice(0, EVENTS).map(({ message = '' }) => message),
      stopped: last && endOf(last).reason,
    };
  }

  async #service(cluster: string, service: string) {
    const { services = [] } = await ask(
      this.#place,
      'ecs:DescribeServices',
      () => this.#client.send(new DescribeServicesCommand({ cluster, services: [service] })),
      (error) => (isGone(error) ? { $metadata: {}, services: [] } : undefined),
    );
    return services[0];
  }

  /** Starts a task in the network of the service and returns its ARN. `command` replaces that of its container. */
  async run({ cluster, service }: Cluster, definition: string, command?: readonly string[]): Promise<string> {
    const found = await this.#service(cluster, service);
    const network: NetworkConfiguration | undefined = found?.networkConfiguration;
    const clientToken = randomUUID();
    const overrides =
      command === undefined
        ? {}
        : {
            overrides: {
              containerOverrides: [{ name: await this.#container(definition), command: [...command] }],
            },
          };
    const { tasks = [], failures = [] } = await ask(this.#place, 'ecs:RunTask', () =>
      this.#client.send(
        new RunTaskCommand({
          cluster,
          taskDefinition: definition,
          launchType: 'FARGATE',
          startedBy: STARTED_BY,
          clientToken,
          ...(network ? { networkConfiguration: network } : {}),
          ...overrides,
        }),
      ),
    );
    const arn = tasks[0]?.taskArn;
    if (arn !== undefined) return arn;
    const why = failures.map(({ reason = '', detail = '' }) => `${reason} ${detail}`.trim()).join(', ');
    throw new TaxiflowError('task-failed', `no task was started: ${why || 'AWS gives no reason'}`, {
      hint: 'run the same command again; if it fails again, see the quotas of Fargate',
    });
  }

  /** The command of the first container of a task definition. */
  async command(definition: string): Promise<readonly string[]> {
    return (await this.#firstContainer(definition))?.command ?? [];
  }

  async #container(definition: string): Promise<string> {
    return (await this.#firstContainer(definition))?.name ?? '';
  }

  async #firstContainer(definition: string) {
    const { taskDefinition } = await ask(this.#place, 'ecs:DescribeTaskDefinition', () =>
      this.#client.send(new DescribeTaskDefinitionCommand({ taskDefinition: definition })),
    );
    return taskDefinition?.containerDefinitions?.[0];
  }

  /** Waits for the end of a task and tells its states. Undefined after the signal: the task goes on. */
  ended(cluster: string, task: string, onState: (state: string) => void): Promise<Ended | undefined> {
    return watch(this.#place, async () => {
      const [found] = await this.#described(cluster, [task]);
      // A task that was just started may not be listed yet.
      if (found?.lastStatus) onState(found.lastStatus);
      return found?.lastStatus === 'STOPPED' ? endOf(found) : undefined;
    });
  }

  /** Tasks that belong to no service: those that run, and those that ended lately. */
  async others(cluster: string): Promise<OneOff[]> {
    const found = [...(await this.#tasks(cluster, 'RUNNING')), ...(await this.#tasks(cluster, 'STOPPED'))];
    return found.filter(isOneOff).map((task) => {
      const command = task.overrides?.containerOverrides?.find((container) => container.command)?.command;
      const family = /([^/]*):\d+$/.exec(task.taskDefinitionArn ?? '')?.[1] ?? '';
      const ended = task.lastStatus === 'STOPPED' ? endOf(task) : undefined;
      return {
        task: task.taskArn ?? '',
        what: command?.[0] ?? family,
        state: task.lastStatus ?? '',
        exitCode: ended?.exitCode,
        reason: ended?.reason,
      };
    });
  }

  /** Stops the tasks that belong to no service, and waits until they have; returns how many. */
  async stopOthers(cluster: string): Promise<number> {
    const running = (await this.#tasks(cluster, 'RUNNING')).filter(isOneOff);
    for (const { taskArn: task } of running)
      await ask(
        this.#place,
        'ecs:StopTask',
        () => this.#client.send(new StopTaskCommand({ cluster, task, reason: STARTED_BY })),
        (error) =>
          errorName(error) === 'InvalidParameterException' || isGone(error) ? { $metadata: {} } : undefined,
      );
    const arns = running.map(({ taskArn = '' }) => taskArn);
    if (arns.length === 0) return 0;
    await watch(this.#place, async () => {
      const left = await this.#described(cluster, arns);
      return left.every(({ lastStatus }) => lastStatus === 'STOPPED') ? true : undefined;
    });
    return arns.length;
  }

  async #tasks(cluster: string, desiredStatus: 'RUNNING' | 'STOPPED', serviceName?: string): Promise<Task[]> {
    const arns: string[] = [];
    let nextToken: string | undefined;
    do {
      const input = { cluster, desiredStatus, ...(serviceName ? { serviceName } : {}) };
      const page = await ask(
        this.#place,
        'ecs:ListTasks',
        () => this.#client.send(new ListTasksCommand({ ...input, ...(nextToken ? { nextToken } : {}) })),
        (error) => (isGone(error) ? { $metadata: {}, taskArns: [] } : undefined),
      );
      for (const arn of page.taskArns ?? []) arns.push(arn);
      nextToken = page.nextToken;
    } while (nextToken);
    return this.#described(cluster, arns);
  }

  async #described(cluster: string, arns: readonly string[]): Promise<Task[]> {
    const found: Task[] = [];
    for (let from = 0; from < arns.length; from += PAGE) {
      const tasks = arns.slice(from, from + PAGE);
      const page = await ask(
        this.#place,
        'ecs:DescribeTasks',
        () => this.#client.send(new DescribeTasksCommand({ cluster, tasks })),
        (error) => (isGone(error) ? { $metadata: {}, tasks: [] } : undefined),
      );
      for (const task of page.tasks ?? []) found.push(task);
    }
    return found;
  }
}

/** A container's own reason says more than that of its task. */
function endOf({ containers = [], stoppedReason = '' }: Task): Ended {
  const container = containers.find(({ exitCode }) => exitCode !== undefined) ?? containers[0];
  const reason = [stoppedReason, container?.reason ?? ''].filter((part) => part !== '').join('; ');
  return { exitCode: container?.exitCode, reason };
}

const isOneOff = ({ group = '' }: Task) => !group.startsWith('service:');

function isGone(error: unknown): boolean {
  return ['ClusterNotFoundException', 'ServiceNotFoundException'].includes(errorName(error));
}
