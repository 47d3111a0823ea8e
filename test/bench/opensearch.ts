/**
 * What the OpenSearch sink costs beside the client alone, into the same real server: both write the same documents
 * under the same ids and versions, but those of the client lie ready, unpacked, and nobody looks what became of each.
 */
import { Client } from '@opensearch-project/opensearch';
import { systemClock } from '../../dist/clock.js';
import { DeadLetterBuffer } from '../../dist/dead-letters.js';
import { connect } from '../../dist/opensearch/connection.js';
import { mappingOf } from '../../dist/opensearch/templates.js';
import { documentIds } from '../../dist/sinks/opensearch/document-id.js';
import { OpenSearchSink, type Outbox } from '../../dist/sinks/opensearch/sink.js';
import { taxiViews } from '../../dist/views/taxi.js';
import { startOpenSearch, withoutOpenSearch } from '../services/opensearch.ts';
import { compare, ROUNDS } from './measure.ts';

const FLOOR = 0.8;
const BATCH_DOCUMENTS = 2_000;
const AT_ONCE = 3;
/** Rounds write into indices of their own. */
const DOCUMENTS = 60_000;

export async function openSearchBench(state: Outbox): Promise<boolean> {
  if (withoutOpenSearch) {
    console.log(`OpenSearch sink: not measured, ${withoutOpenSearch}`);
    return true;
  }
  const after: (() => Promise<void> | void)[] = [];
  const search = await startOpenSearch({
    after: (done: unknown) => void after.push(done as () => Promise<void>),
  } as Parameters<typeof startOpenSearch>[0]);
  try {
    const views = taxiViews();
    const documents = documentsOf(state);
    const outbox = {
      ...only(state, documents.length),
      cursor: () => undefined,
      moveCursor: () => {},
      refused: () => 0,
      firstOf: () => undefined,
      refusedDocuments: () => [],
      firingsOf: () => [],
      windowsBefore: () => [],
      destinations: () => undefined,
      setDestinations: () => {},
      windowDestinations: () => [],
      addWindowDestinations: () => {},
    };
    const alone = new Client({ node: search.endpoint });
    const prepared = Array.from({ length: ROUNDS + 1 }, (_, round) => bodiesOf(documents, `alone-${round}-`));
    let ours = 0;
    let theirs = 0;
    const met = await compare(
      'OpenSearch sink / the client alone, prepared bodies',
      FLOOR,
      async () => {
        const sink = new OpenSearchSink({
          client: await connect({ url: search.endpoint }),
          url: search.endpoint,
          prefix: `ours-${ours++}-`,
          views,
          owner: { app: 'bench', stream: 'bench' },
          outbox,
          deadLetters: new DeadLetterBuffer(0),
          clock: systemClock,
          onTrouble: (trouble) => trouble && console.log(trouble),
        });
        await sink.open();
        sink.wake();
        await sink.close(false);
        const { delivered, rejected } = sink.status();
        if (delivered !== documents.length || rejected > 0) throw new Error(`delivered ${delivered}`);
      },
      async () => {
        const prefix = `alone-${theirs}-`;
        for (const view of views)
          await alone.indices.create({ index: prefix + view.name, body: { mappings: mappingOf(view) } });
        const bodies = prepared[theirs++]!;
        const worker = async () => {
          for (let body = bodies.pop(); body; body = bodies.pop()) {
            const { body: answer } = await alone.bulk({ body: body as unknown as object[] });
            if (answer.errors) throw new Error('not all were taken');
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
      },
      documents.length,
      'document',
    );
    await alone.close();
    return met;
  } finally {
    for (const done of after.reverse()) await done();
  }
}

interface Document {
  readonly view: string;
  readonly text: string;
}

function documentsOf(state: Outbox): Document[] {
  const documents: Document[] = [];
  for (const { view, docs } of state.firingsFrom(1)) {
    for (const text of docs.slice(1, -1).split(',\n')) documents.push({ view, text });
    if (documents.length >= DOCUMENTS) break;
  }
  return documents;
}

/** The outbox as if these were all. */
function only(state: Outbox, count: number): Pick<Outbox, 'nextResult' | 'end' | 'created' | 'firingsFrom'> {
  return {
    nextResult: count + 1,
    end: count + 1,
    created: state.created,
    *firingsFrom(from) {
      for (const firing of state.firingsFrom(from)) {
        if (firing.first > count) return;
        yield firing;
      }
    },
  };
}

function bodiesOf(documents: readonly Document[], prefix: string): string[] {
  const ids = new Map(taxiViews().map((view) => [view.name, documentIds(view)]));
  const actionOf = ({ view, text }: Document, version: number) => ({
    index: { _index: prefix + view, _id: ids.get(view)!(text), version, version_type: 'external_gte' },
  });
  const bodies: string[] = [];
  for (let at = 0; at < documents.length; at += BATCH_DOCUMENTS) {
    bodies.push(
      documents
        .slice(at, at + BATCH_DOCUMENTS)
        .map((document, i) => `${JSON.stringify(actionOf(document, at + i + 1))}\n${document.text}\n`)
        .join(''),
    );
  }
  return bodies;
}
