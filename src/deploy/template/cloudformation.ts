/** Templates of CloudFormation as plain data, and its functions. What `JSON.stringify` makes of it is a valid template. */

/** Why something is as it is: CloudFormation does not see it, and the YAML has it as a comment above. */
export const WHY = Symbol('why');

export type Value =
  | string
  | number
  | boolean
  | readonly Value[]
  | { readonly [key: string]: Value; readonly [WHY]?: string };

type Fields = Readonly<Record<string, Value>>;

export interface Parameter {
  readonly Type: string;
  readonly Description: string;
  readonly Default?: string | number;
  readonly AllowedValues?: readonly (string | number)[];
  readonly AllowedPattern?: string;
  readonly ConstraintDescription?: string;
  readonly MinValue?: number;
  readonly MaxValue?: number;
}

export interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly DependsOn?: string | readonly string[];
  readonly DeletionPolicy?: 'Delete' | 'Retain';
  readonly UpdateReplacePolicy?: 'Delete' | 'Retain';
  readonly UpdatePolicy?: Fields;
  readonly Metadata?: Fields;
  readonly Properties?: Fields;
}

export interface Output {
  readonly Description: string;
  readonly Value: Value;
}

export interface Template {
  readonly AWSTemplateFormatVersion: '2010-09-09';
  readonly Description: string;
  readonly Metadata: Fields;
  readonly Parameters: Readonly<Record<string, Parameter>>;
  readonly Rules: Fields;
  readonly Conditions: Fields;
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, Output>>;
}

/** A part of a policy, as it is given to a role. */
export interface Statement {
  readonly why: string;
  readonly actions: readonly string[];
  readonly on: Value;
  /** The condition of the template under which the role has it. */
  readonly when?: string;
  readonly condition?: Value;
}

/** One part of a stack, such as its network. */
export interface Part {
  readonly parameters?: Readonly<Record<string, Parameter>>;
  readonly rules?: Fields;
  readonly conditions?: Fields;
  readonly resources: Readonly<Record<string, Resource>>;
  readonly outputs?: Readonly<Record<string, Output>>;
}

export const ref = (name: string) => ({ Ref: name });
export const att = (name: string, attribute: string) => ({ 'Fn::GetAtt': [name, attribute] });
export const NOTHING = ref('AWS::NoValue');
export const when = (condition: string, then: Value, otherwise: Value = NOTHING) => ({
  'Fn::If': [condition, then, otherwise],
});
export const isEqual = (a: Value, b: Value) => ({ 'Fn::Equals': [a, b] });
export const not = (condition: Value) => ({ 'Fn::Not': [condition] });
export const select = (index: number, list: Value) => ({ 'Fn::Select': [index, list] });
export const join = (separator: string, list: Value) => ({ 'Fn::Join': [separator, list] });
export const split = (separator: string, text: Value) => ({ 'Fn::Split': [separator, text] });
/** What stands for a reference in a text: `${Name}` or `${Name.Attribute}`; undefined for other values. */
function inText(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { Ref: name, 'Fn::GetAtt': path, 'Fn::Sub': text } = value as Record<string, unknown>;
  if (typeof name === 'string') return `\${${name}}`;
  if (Array.isArray(path)) return `\${${path.join('.')}}`;
  return typeof text === 'string' ? text : undefined;
}

/** A `${` that CloudFormation leaves as it is. */
const literal = (text: string) => text.replaceAll('${', '${!');

/** A text that CloudFormation fills in: values in it are references or other functions, and all else stays as it is. */
export function sub(texts: TemplateStringsArray, ...values: readonly Value[]) {
  const variables: Record<string, Value> = {};
  let text = literal(texts[0]!);
  for (const [i, value] of values.entries()) {
    if (typeof value === 'string') text += literal(value);
    else if (inText(value) !== undefined) text += inText(value);
    else {
      variables[`Value${i}`] = value;
      text += `\${Value${i}}`;
    }
    text += literal(texts[i + 1]!);
  }
  return { 'Fn::Sub': Object.keys(variables).length === 0 ? text : [text, variables] };
}

/** An ARN in this account and region; `resource` as in `sub`. */
export const arn = (service: string, resource: Value) =>
  sub`arn:${ref('AWS::Partition')}:${service}:${ref('AWS::Region')}:${ref('AWS::AccountId')}:${resource}`;

/** JSON without other characters than those of ASCII, which is all that CloudFormation keeps everywhere. */
export function inAscii(json: string): string {
  return json.replace(
    /[^ -~\n]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const REFERENCE = '$';

/**
 * JSON as a text of CloudFormation's: references in it are filled in, and a `${` of its own stays. What is filled in
 * must need no escape in JSON, as names and ARNs don't.
 */
export function subJson(value: Value) {
  const text = JSON.stringify(value, (key, part: unknown) => {
    if (typeof part === 'string') return key === REFERENCE ? part : literal(part);
    if (key.startsWith('Fn::')) throw new Error(`${key} can't stand in a text`);
    const reference = inText(part);
    return reference === undefined ? part : { [REFERENCE]: reference };
  });
  // In a text of JSON quotes are escaped, so that none can look like such an object.
  const filled = text.replace(/\{"\$":("(?:[^"\\]|\\.)*")\}/g, '$1');
  return { 'Fn::Sub': inAscii(filled) };
}
