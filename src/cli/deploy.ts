/** From the options of `deploy` to the shape and the parameters of a template. */
import {
  MOST_BYTES,
  type Parameter,
  SEARCHES,
  type StackShape,
  type Template,
  templateOf,
  templateText,
} from '../deploy/template.ts';
import { TaxiflowError, usageError } from '../errors.ts';
import { placeOf } from '../s3/object-store.ts';
import { type ParameterValues, parameterOptions, type ShapeValues } from './commands/deploy-options.ts';
import { flagName } from './options.ts';

/** The tag of a stack that says which template it has, so that a later `up` needs no flags for it. */
export const SHAPE_TAG = 'taxiflow:shape';

export function shapeTag({ network, search, autoscale }: StackShape): string {
  return `network=${network} search=${search} autoscale=${autoscale}`;
}

/** The shape asked for; what no flag says is as the tag of the stack has it. */
export function shapeOf(args: ShapeValues, tag = ''): StackShape {
  const earlier = new Map(tag.split(' ').map((part) => part.split('=') as [string, string]));
  const search = SEARCHES.find((known) => known === earlier.get('search')) ?? 'domain';
  const given = args.vpc !== undefined || args.subnets !== undefined;
  return {
    network: given || earlier.get('network') === 'given' ? 'given' : 'own',
    search: args.search ?? search,
    autoscale: args.autoscale ?? earlier.get('autoscale') === 'true',
  };
}

/** Parameters that aren't named after their option. */
const OTHER_NAMES = { vpc: 'VpcId', subnets: 'SubnetIds' } as const;

/** The name of the template's parameter that an option sets. */
function parameterOf(key: string): string {
  return OTHER_NAMES[key as keyof typeof OTHER_NAMES] ?? key[0]!.toUpperCase() + key.slice(1);
}

/** The flag that sets a parameter. */
export function flagOf(parameter: string): string {
  if (parameter.startsWith('Trips')) return '--trips';
  const other = Object.entries(OTHER_NAMES).find(([, name]) => name === parameter)?.[0];
  return `--${flagName(other ?? parameter[0]!.toLowerCase() + parameter.slice(1))}`;
}

export type Given = ReadonlyMap<string, string>;

/** Values of parameters by their names. Throws `usage` for one that no template takes. */
export function givenParameters(args: NamedValues): Given {
  const given = new Map<string, string>();
  for (const key of ['name', 'vpc', 'subnets', ...Object.keys(parameterOptions)] as (keyof NamedValues)[]) {
    const value = args[key];
    if (value === undefined) continue;
    if (key === 'trips') {
      const { bucket, key: prefix } = placeOf(String(value));
      given.set('TripsBucket', bucket).set('TripsPrefix', prefix);
    } else given.set(parameterOf(key), String(value));
  }
  const known = everyParameter();
  for (const [name, value] of given) refuseValue(flagOf(name), value, known[name]!);
  return given;
}

type NamedValues = ParameterValues & Pick<ShapeValues, 'vpc' | 'subnets'> & { readonly name: string };
type Parameters = Template['Parameters'];

/** Those of all shapes. */
function everyParameter(): Parameters {
  return SEARCHES.reduce<Parameters>(
    (all, search) => Object.assign(all, templateOf({ network: 'given', search, autoscale: true }).Parameters),
    {},
  );
}

/** A value, or none, for each parameter of a template. Throws `usage` for a value that it has no use for. */
export function parametersFor({ Parameters }: Template, given: Given): Map<string, string | undefined> {
  for (const name of given.keys())
    if (!(name in Parameters))
      throw usageError(
        `${flagOf(name)} is not for a stack with these options`,
        'omit it, or see "taxiflow deploy up --help"',
      );
  return new Map(Object.keys(Parameters).map((name) => [name, given.get(name)]));
}

/** What CloudFormation would refuse, before anything is asked. */
function refuseValue(flag: string, value: string, parameter: Parameter): void {
  const { AllowedValues, AllowedPattern, MinValue, MaxValue, ConstraintDescription, Description } = parameter;
  const wrong = (what: string) =>
    usageError(`${flag} ${value} ${ConstraintDescription ?? what}`, Description);
  if (AllowedValues && !AllowedValues.map(String).includes(value))
    throw wrong(`is not one of ${AllowedValues.join(', ')}`);
  if (AllowedPattern !== undefined && !new RegExp(`^(?:${AllowedPattern})$`).test(value))
    throw wrong(`does not match ${AllowedPattern}`);
  if (parameter.Type !== 'Number') return;
  const number = Number(value);
  if (!Number.isFinite(number)) throw wrong('is not a number');
  if (number < (MinValue ?? number) || number > (MaxValue ?? number))
    throw wrong(`is not from ${MinValue} to ${MaxValue}`);
}

/** The template as CloudFormation takes it in a request: as JSON, which is shorter, where YAML with its comments is too long. */
export function bodyOf(template: Template): string {
  const fits = (text: string) => Buffer.byteLength(text) <= MOST_BYTES;
  const yaml = templateText(template);
  if (fits(yaml)) return yaml;
  const json = JSON.stringify(template);
  if (fits(json)) return json;
  throw new TaxiflowError(
    'template-too-large',
    `the template has ${Buffer.byteLength(json)} bytes, and CloudFormation takes ${MOST_BYTES} at most`,
    { hint: 'this is a bug in taxiflow, please report it with your options' },
  );
}
