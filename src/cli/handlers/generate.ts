import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { generateCsv, LAYOUTS, type Layout } from '../../dataset/generator/generate.ts';
import { EXIT, translate, usageError } from '../../errors.ts';
import type { GenerateArguments } from '../commands/generate.ts';
import { printJson, say, several, span, write } from '../terminal.ts';

export async function generate(args: GenerateArguments): Promise<number> {
  const { out, json, schema, from, trips, hours, seed, dirty } = args;
  const layout = LAYOUTS.find((name) => name === schema) as Layout | undefined;
  if (!layout)
    throw usageError(`--schema ${schema} is not a known layout`, `choose one of ${LAYOUTS.join(', ')}`);
  if (from < 0) throw usageError(`--from ${new Date(from).toISOString().slice(0, 10)} is before 1970`);
  const options = { trips, from: new Date(from).toISOString(), hours, seed, layout, dirty };
  const started = Date.now();
  if (out === '-') await write(generateCsv(options));
  else await toFile(generateCsv(options), out);
  const { layout: _, ...rest } = options;
  const summary = { command: 'generate', out, schema, ...rest, duration_ms: Date.now() - started };
  if (json) {
    // With --out -, stdout carries the trips.
    if (out === '-') say(JSON.stringify(summary));
    else printJson(summary);
  }
  say(
    `${several(trips, 'trip')} of ${layout} in ${span(Date.now() - started)}: ${out === '-' ? 'stdout' : out}`,
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
