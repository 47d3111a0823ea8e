/** Searches of the model: the queries and aggregations that taxiflow sends, over documents as a refresh left them. */

/** A document that a search can find. */
export interface Found {
  readonly index: string;
  readonly id: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** `indices.query.bool.max_clause_count` of a server as it comes; each of the terms is a clause. */
const MOST_CLAUSES = 1_024;
/** `index.max_result_window` of an index as it comes. */
const MOST_HITS = 10_000;

type Query = Readonly<Record<string, unknown>>;
type Aggregations = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface Search {
  readonly size?: number;
  readonly query?: Query;
  readonly aggs?: Aggregations;
}

/** A search that the server refuses as a whole, by the type of its error. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: number, type: string) {
    super(type);
    this.status = status;
  }
}

export function search(documents: readonly Found[], { size = 10, query, aggs }: Search) {
  if (size > MOST_HITS) throw new Refused(400, 'search_phase_execution_exception');
  const found = documents.filter(matching(query));
  return {
    hits: {
      total: { value: Math.min(found.length, MOST_HITS) },
      hits: found.slice(0, size).map(({ index, id }) => ({ _index: index, _id: id })),
    },
    ...(aggs ? { aggregations: aggregated(found, aggs) } : {}),
  };
}

export function count(documents: readonly Found[], { query }: Search): number {
  return documents.filter(matching(query)).length;
}

function matching(query: Query = { match_all: {} }): (document: Found) => boolean {
  const [[kind, of] = []] = Object.entries(query);
  switch (kind) {
    case 'match_all':
      return () => true;
    case 'term':
    case 'terms': {
      const [[field, wanted] = []] = Object.entries(of as Record<string, unknown>);
      const values = new Set([wanted].flat().map(comparable));
      if (values.size > MOST_CLAUSES) throw new Refused(400, 'search_phase_execution_exception');
      return (document) => values.has(comparable(fieldOf(document, field!)));
    }
    case 'ids': {
      const ids = new Set((of as { values: string[] }).values);
      return ({ id }) => ids.has(id);
    }
    case 'range': {
      const [[field, { gte, lt }] = ['', {}]] = Object.entries(
        of as Record<string, { gte?: unknown; lt?: unknown }>,
      );
      const [from, to] = [Number(comparable(gte)), Number(comparable(lt))];
      return (document) => {
        const value = Number(comparable(fieldOf(document, field)));
        return from <= value && value < to;
      };
    }
    case 'bool': {
      const { filter = [], should = [] } = of as { filter?: Query[]; should?: Query[] };
      if (should.length > MOST_CLAUSES) throw new Refused(400, 'search_phase_execution_exception');
      const [all, some] = [filter.map(matching), should.map(matching)];
      return (document) =>
        all.every((matches) => matches(document)) &&
        (some.length === 0 || some.some((matches) => matches(document)));
    }
    default:
      throw new Error(`the model does not know the query ${kind}`);
  }
}

function aggregated(documents: readonly Found[], asked: Aggregations): Record<string, object> {
  return Object.fromEntries(
    Object.entries(asked).map(([name, { aggs, terms, filters }]) => {
      const bucket = (of: readonly Found[]) => ({
        doc_count: of.length,
        ...(aggs ? aggregated(of, aggs as Aggregations) : {}),
      });
      if (filters) {
        const { filters: named } = filters as { filters: Record<string, Query> };
        const buckets = Object.entries(named).map(([key, query]) => [
          key,
          bucket(documents.filter(matching(query))),
        ]);
        return [name, { buckets: Object.fromEntries(buckets) }];
      }
      if (!terms) throw new Error(`the model does not know the aggregation ${name}`);
      const { field, size = 10 } = terms as { field: string; size?: number };
      const groups = new Map<unknown, Found[]>();
      for (const document of documents) {
        const key = comparable(fieldOf(document, field));
        if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), document]);
      }
      const sorted = [...groups].sort(
        ([a, x], [b, y]) => y.length - x.length || (String(a) < String(b) ? -1 : 1),
      );
      return [name, { buckets: sorted.slice(0, size).map(([key, of]) => ({ key, ...bucket(of) })) }];
    }),
  );
}

function fieldOf({ index, fields }: Found, field: string): unknown {
  return field === '_index' ? index : fields[field];
}

/** Times are compared as epoch ms. */
function comparable(value: unknown): unknown {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value) ? Date.parse(value) : value;
}
