/** Reads the options that say what a stack is made of, for every command that has them. */
import { SEARCHES, type StackShape } from '../deploy/template/shape.ts';
import { usageError } from '../errors.ts';
import { isServerless } from '../opensearch/amazon.ts';
import type { ShapeValues } from './commands/deploy-options.ts';

/** A shape, and the parameters of its template that the options have given. */
export interface ShapeAndParameters {
  readonly shape: StackShape;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The shape asked for; what no option says is as the stack is, whose output `Shape` is `present`. */
export function shapeOf({ vpc, subnets, search, autoscale }: ShapeValues, present = ''): ShapeAndParameters {
  const earlier = new Map(present.split(' ').map((part) => part.split('=') as [string, string]));
  const [kind, url] =
    search === undefined
      ? [SEARCHES.find((one) => one === earlier.get('search')) ?? 'domain']
      : searchOf(search);
  return {
    shape: {
      network: vpc !== undefined || earlier.get('network') === 'given' ? 'given' : 'own',
      search: kind,
      autoscale: autoscale ?? earlier.get('autoscale') === 'true',
    },
    parameters: {
      ...networkOf(vpc, subnets),
      ...(url === undefined ? {} : { SearchUrl: url, SearchService: isServerless(url) ? 'aoss' : 'es' }),
    },
  };
}

function networkOf(vpc: string | undefined, subnets: string | undefined): Record<string, string> {
  if (vpc === undefined && subnets === undefined) return {};
  if (vpc === undefined) throw usageError('--subnets needs their VPC', 'add --vpc ID');
  if (!/^vpc-[0-9a-f]+$/.test(vpc)) throw usageError(`--vpc ${vpc} is not the id of a VPC`, 'write vpc-…');
  const ids = (subnets ?? '').split(',').map((id) => id.trim());
  const wrong = ids.find((id) => !/^subnet-[0-9a-f]+$/.test(id));
  if (subnets === undefined || new Set(ids).size < 2)
    throw usageError('--vpc needs two of its subnets', 'add --subnets subnet-…,subnet-…');
  if (wrong !== undefined)
    throw usageError(`--subnets ${wrong} is not the id of a subnet`, 'write subnet-…,subnet-…');
  return { VpcId: vpc, SubnetIds: ids.join(',') };
}

const KINDS = ['domain', 'public', 'serverless', 'none'] as const;

function searchOf(search: string): [kind: StackShape['search'], url?: string] {
  const kind = KINDS.find((one) => one === search);
  if (kind) return [kind];
  const [, url] = /^existing(?:=(.*))?$/s.exec(search) ?? [];
  if (url === undefined)
    throw usageError(
      `--search ${search} is not one of ${KINDS.join(', ')}, existing=URL`,
      'for a domain that exists, write existing=https://HOST',
    );
  if (!/^https:\/\/[A-Za-z0-9.-]+\/?$/.test(url))
    throw usageError(
      `--search existing=${url} is no URL that tasks can reach`,
      'write existing=https://HOST, on port 443 and without a path',
    );
  return ['existing', url.replace(/\/$/, '')];
}
