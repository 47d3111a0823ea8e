/** The text of `--help`, as wide as the terminal. */
import { type Called, COMMON } from './arguments.ts';
import { type Command, optionsOf } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { flagName, type Option } from './options.ts';

const ABOUT = 'Taxi trips as a stream: replay them, process them in event time, see the results.';

const SWITCHES: readonly Line[] = [
  ['--help, -h', 'Show this help'],
  ['--version, -v', 'Show the version'],
];

/** Columns if there is no terminal. */
const WIDTH = 100;
const NARROWEST = 40;

type Line = readonly [term: string, text: string];

/** The help of a command, or of taxiflow itself; `columns` is the width of the terminal. */
export function helpText({ command, names }: Called, columns = WIDTH): string {
  const width = Math.max(NARROWEST, columns || WIDTH);
  const above = ['taxiflow', ...names.slice(0, -1)].join(' ');
  const head = command
    ? [`${above} ${command.usage}`, command.summary]
    : ['taxiflow <command> [options]', ABOUT];
  const commands = command ? command.commands : COMMANDS;
  const sections: (readonly [string, readonly Line[]])[] = [
    ['Commands', commands.map((each): Line => [['taxiflow', ...names, each.usage].join(' '), each.summary])],
    [
      'Arguments',
      Object.entries(command?.positionals ?? {}).map(([key, each]): Line => [flagName(key), about(each)]),
    ],
    ['Options', optionLines(command)],
    ['Examples', (command?.examples ?? EXAMPLES).map(([line, text]): Line => [`taxiflow ${line}`, text])],
  ];
  const shown = sections.filter(([, lines]) => lines.length > 0);
  return [
    ...head.map((line) => wrapped(line, width, 0)),
    ...shown.map(([title, lines]) => `${title}:\n${columnsOf(lines, width)}`),
  ].join('\n\n');
}

const EXAMPLES: readonly Line[] = [
  ['demo', 'a day of generated trips, on a live page'],
  ['replay trips.csv --speedup max', 'trips into the embedded stream'],
  ['process --until-end --drain', 'windows over all of them'],
  ['results', 'what came out'],
];

function optionLines(command: Command | undefined): Line[] {
  // A group has no options of its own.
  const options = command?.run ? [...optionsOf(command), ...Object.entries(COMMON)] : [];
  return [...options.map(([name, option]): Line => [`--${name}`, about(option)]), ...SWITCHES];
}

function about({ describe, default: byDefault, choices, required }: Option<unknown>): string {
  const notes = [
    choices ? `[one of: ${choices.join(', ')}]` : '',
    byDefault === undefined || byDefault === '' || byDefault === false ? '' : `[default: ${byDefault}]`,
    required ? '[required]' : '',
  ];
  return [describe, ...notes.filter(Boolean)].join('  ');
}

/** Terms on the left, explanations on the right; below long terms. */
function columnsOf(lines: readonly Line[], width: number): string {
  const most = Math.floor(width * 0.45);
  const longest = lines.reduce(
    (left, [term]) => (term.length <= most ? Math.max(left, term.length) : left),
    0,
  );
  const left = longest + 4;
  return lines
    .map(([term, text]) => {
      const body = wrapped(text, width, left);
      return term.length + 4 <= left
        ? `  ${term.padEnd(left - 2)}${body}`
        : `  ${term}\n${' '.repeat(left)}${body}`;
    })
    .join('\n');
}

/** Wraps text at `width`; later lines are indented. */
function wrapped(text: string, width: number, indent: number): string {
  const room = Math.max(16, width - indent);
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= room) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}
