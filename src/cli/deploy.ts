/** From the options of `deploy` to the shape and the parameters of a template. */
import { inAscii } from '../deploy/template/cloudformation.ts';
import {
  MOST_BYTES,
  type Parameter,
  SEARCHES,
  type Template,
  templateOf,
} from '../deploy/template/template.ts';
import { TaxiflowError, usageError } from '../errors.ts';
import { placeOf } from '../s3/addresses.ts';
import { type ParameterValues, parameterOptions, type ShapeValues } from './commands/deploy-options.ts';
import { flagName } from './options.ts';
import { shapeOf } from './stack-shape.ts';

const kebab = (name: string) => flagName(name[0]!.toLowerCase() + name.slice(1));

/** The flag that sets a parameter. Most are named after it. */
export function flagOf(parameter: string): string {
  const others: Readonly<Record<string, string>> = {
    VpcId: '--vpc',
    SubnetIds: '--subnets',
    SearchUrl: '--search existing=URL',
    SearchService: '--search existing=URL',
    TripsBucket: '--trips',
    TripsPrefix: '--trips',
  };
  return others[parameter] ?? `--${kebab(parameter)}`;
}

const parameterOf = (option: string) => option[0]!.toUpperCase() + option.slice(1);

/** Options that take a stack's value away by `none`. */
const CAN_BE_NONE = new Set(['trips', 'alarmEmail', 'searchAdmin']);

export type Given = ReadonlyMap<string, string>;

/** Values of parameters by their names. Throws `usage` for one that no template takes. */
export function givenParameters(args: Named): Given {
  const given = new Map(Object.entries(shapeOf(args).parameters)).set('Name', args.name);
  for (const key of Object.keys(parameterOptions) as (keyof ParameterValues)[]) {
    const value = args[key];
    if (value === undefined) continue;
    if (CAN_BE_NONE.has(key) && value === 'none') {
      for (const name of key === 'trips' ? ['TripsBucket', 'TripsPrefix'] : [parameterOf(key)])
        given.set(name, '');
    } else if (key === 'trips') {
      const { bucket, key: prefix } = placeOf(String(value));
      given.set('TripsBucket', bucket).set('TripsPrefix', prefix);
    } else given.set(parameterOf(key), String(value));
  }
  const known = everyParameter();
  for (const [name, value] of given) refuseValue(flagOf(name), value, known[name]!);
  return given;
}

type Named = ParameterValues & ShapeValues & { readonly name: string };
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
    usageError(`${flag} ${value} ${ConstraintDescription ?? what}`, `${flag}: ${Description}`);
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

/** The template as CloudFormation takes it in a request: as JSON, which is shorter than YAML with its comments. */
export function bodyOf(template: Template): string {
  const body = inAscii(JSON.stringify(template));
  const bytes = Buffer.byteLength(body);
  if (bytes <= MOST_BYTES) return body;
  throw new TaxiflowError(
    'template-too-large',
    `the template has ${bytes} bytes, and CloudFormation takes ${MOST_BYTES} at most`,
    { hint: 'this is a bug in taxiflow, please report it with your options' },
  );
}
