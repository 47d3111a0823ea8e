/** The JSON Schema of the configuration file, from the options of all commands. */
import { everyCommand } from './arguments.ts';
import { type Command, optionsOf } from './command.ts';
import type { Option } from './options.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Keys are the names of options, or of commands for settings of one command alone. */
export function configSchema(): Schema {
  const commands = everyCommand();
  const forms = new Map<string, Schema[]>();
  const add = (key: string, schema: Schema) => {
    const known = forms.get(key) ?? [];
    const isNew = known.every((each) => JSON.stringify(each) !== JSON.stringify(schema));
    forms.set(key, isNew ? [...known, schema] : known);
  };
  for (const { command } of commands)
    for (const [name, option] of optionsOf(command)) add(name, schemaOf(option));
  for (const { command, names } of commands) add(names.join(' '), sectionOf(command));
  const properties = [...forms].map(([key, each]) => [key, each.length === 1 ? each[0] : { anyOf: each }]);
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Settings of taxiflow',
    type: 'object',
    additionalProperties: false,
    properties: { $schema: { type: 'string' }, ...Object.fromEntries(properties) },
  };
}

function sectionOf(command: Command): Schema {
  const options = [...optionsOf(command)].map(([name, option]) => [name, schemaOf(option)]);
  return {
    type: 'object',
    description: command.summary,
    additionalProperties: false,
    properties: Object.fromEntries(options),
  };
}

function schemaOf({ schema, describe, default: byDefault }: Option<unknown>): Schema {
  return { ...schema, description: describe, ...(byDefault === undefined ? {} : { default: byDefault }) };
}
