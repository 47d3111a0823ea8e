/** A template as YAML: the same text for the same data, with the short forms of functions, and whys as comments. */
import { Document, type Node, Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { type Template, type Value, WHY } from './cloudformation.ts';

/** What CloudFormation takes in one request; a longer template has to lie in S3. */
export const MOST_BYTES = 51_200;

export function templateText(template: Template): string {
  // CloudFormation reads YAML 1.1, where a bare 2010-09-09 is a date.
  const document = new Document(null, { version: '1.1' });
  document.contents = nodeOf(template as unknown as Value) as unknown as typeof document.contents;
  return document.toString({ lineWidth: 0, directives: false, indentSeq: false });
}

function nodeOf(value: Value): Node {
  if (typeof value !== 'object') return new Scalar(value);
  if (isList(value)) return listOf(value);
  const [only, other] = Object.entries(value);
  if (only && !other) {
    const [name, of] = only;
    const short = shortForm(name, of);
    if (short) return short;
  }
  const map = new YAMLMap();
  for (const [key, field] of Object.entries(value)) map.add(new Pair(new Scalar(key), nodeOf(field)));
  const why = value[WHY];
  if (why !== undefined) map.commentBefore = ` ${why}`;
  return map;
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

function listOf(values: readonly Value[]): YAMLSeq {
  const list = new YAMLSeq();
  for (const value of values) {
    const node = nodeOf(value);
    if (node instanceof YAMLMap) node.flow = isShort(node);
    list.add(node);
  }
  list.flow = list.items.every((node) => node instanceof Scalar);
  return list;
}

/** Whether a map reads well on one line, such as a column of a table. */
function isShort(map: YAMLMap): boolean {
  return (
    map.items.length <= 4 && !map.commentBefore && map.items.every(({ value }) => value instanceof Scalar)
  );
}

/** Functions of rules, whose short forms not every tool knows. */
const LONG = new Set(['Fn::And', 'Fn::Or', 'Fn::Contains']);

/** `!Ref X` for `{ Ref: X }`, and so on. */
function shortForm(name: string, of: Value): Node | undefined {
  const isRef = name === 'Ref' || name === 'Condition';
  if (!isRef && !name.startsWith('Fn::')) return undefined;
  if ((name === 'Condition' && typeof of !== 'string') || LONG.has(name)) return undefined;
  const node =
    typeof of !== 'object'
      ? new Scalar(of)
      : name === 'Fn::GetAtt'
        ? new Scalar((of as readonly string[]).join('.'))
        : isList(of)
          ? listOf(of)
          : undefined;
  if (node) node.tag = `!${name.replace('Fn::', '')}`;
  return node;
}
