/** Every shape of a stack, and the parameters that its variants are made with. */
import { NETWORKS, SEARCHES, type StackShape, templateOf } from '../../src/deploy/template/template.ts';

export interface Variant {
  readonly name: string;
  readonly shape: StackShape;
}

export const VARIANTS: readonly Variant[] = NETWORKS.flatMap((network) =>
  SEARCHES.flatMap((search) =>
    [false, true].map((autoscale) => ({
      name: `${network}-${search}${autoscale ? '-scaled' : ''}`,
      shape: { network, search, autoscale },
    })),
  ),
);

export const IMAGE = `registry.example.com/taxiflow@sha256:${'0'.repeat(64)}`;

/** What a template asks for and has no default. */
const ASKED: Readonly<Record<string, string>> = {
  Image: IMAGE,
  VpcId: 'vpc-1',
  SubnetIds: 'subnet-1,subnet-2',
  SearchUrl: 'https://search.example.com',
  SearchArn: 'arn:aws:es:us-east-1:123456789012:domain/known',
};

export function askedFor(shape: StackShape): Record<string, string> {
  const asked = Object.entries(templateOf(shape).Parameters).filter(
    ([, { Default }]) => Default === undefined,
  );
  return Object.fromEntries(asked.map(([name]) => [name, ASKED[name] ?? '']));
}
