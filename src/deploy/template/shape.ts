/** What a stack is made of; everything else about it is a parameter. */

export interface StackShape {
  /** `own`: a small network is made. `given`: parameters name a VPC and subnets. */
  readonly network: 'own' | 'given';
  /** Where results go: a domain in the VPC, one that is reachable from outside, a collection, one that exists, nowhere. */
  readonly search: 'domain' | 'public' | 'serverless' | 'existing' | 'none';
  /** Whether a task looks every few minutes whether the stream has the right number of shards. */
  readonly autoscale: boolean;
}

/** A shape as one text, which a stack keeps as its output `Shape`. */
export function shapeText({ network, search, autoscale }: StackShape): string {
  return `network=${network} search=${search} autoscale=${autoscale}`;
}

export const NETWORKS = ['own', 'given'] as const;
export const SEARCHES = ['domain', 'public', 'serverless', 'existing', 'none'] as const;
