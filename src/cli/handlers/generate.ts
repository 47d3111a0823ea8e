import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { generateCsv, LAYOUTS, type Layout } from '../../dataset/generator/generate.ts';
import { EXIT, translate, usageError } from '../../errors.ts';
import type { Arguments } from '../command.ts';
import { text, time, whole } from '../read.ts';
import { printJson, say, several, span, write } from '../terminal.ts';

export async function generate(args: Arguments): Promise<number> {
  const layout = text(args, 'schema')! as Layout;
  if (!LAYOUTS.includes(layout))
    throw usageError(`--schema ${layout} is no layout`, `one of ${LAYOUTS.join(', ')}`);
  const dirty = Number(args['dirty']);
  if (!(dirty >= 0 && dirty <= 1)) throw usageError('--dirty needs a ratio from 0 to 1');
  const hours = Number(args['hours']);
  if (!(hours > 0)) throw usageError('--hours needs a positive number');
  const from = time(args, 'from')!;
  if (from < 0) throw usageError(`--from ${text(args, 'from')} is before 1970`);
  const options = {
    trips: whole(args, 'trips', 1)!,
    from: new Date(from).toISOString(),
    hours,
    seed: whole(args, 'seed', 0)!,
    layout,
    dirty,
  };
  const out = text(args, 'out')!;
  const started = Date.now();
  if (out === '-') await write(generateCsv(options));
  else await toFile(generateCsv(options), out);
  const { layout: schema, ...rest } = options;
  const summary = { command: 'generate', out, schema, ...rest, duration_ms: Date.now() - started };
  if (args['json']) {
    // The trips have stdout when they were sent there.
    if (out === '-') say(JSON.stringify(summary));
    else printJson(summary);
  }
  say(
    `${several(options.trips, 'trip')} of ${layout} in ${span(Date.now() - started)}: ${out === '-' ? 'stdout' : out}`,
  );
  return EXIT.done;
}

async function toFile(chunks: Iterable<string>, path: string): Promise<void> {
  try {
    const file = createWriteStream(path);
    const source = Readable.from(chunks);
    if (path.endsWith('.gz')) await pipeline(source, createGzip({ level: 6 }), file);
    else await pipeline(source, file);
  } catch (error) {
    throw translate(error, 'the file of trips', path, '--out');
  }
}
