/** A box for queries in SQL: a text, the tables there are, and the answer as a table with a chart above it. */
import { type Content, fill, make, setText, table } from './elements.ts';
import { count } from './format.ts';
import type { QueryAnswer, QueryFailure, QueryRows, QueryTables } from './query-answer.ts';
import { chartElement, chartOf } from './query-chart.ts';

export type Run = (sql: string, signal: AbortSignal) => Promise<QueryAnswer>;

/** Bytes that the server takes. A longer address is cut off by Node.js, without an answer. */
const LONGEST_QUERY = 8_192;

/** Asks the server of the page about a job, or the one that it shows. */
export async function askServer(sql: string, signal: AbortSignal, app?: string): Promise<QueryAnswer> {
  if (new TextEncoder().encode(sql).length > LONGEST_QUERY)
    return { error: { code: 'usage', message: `a query is at most ${count(LONGEST_QUERY)} bytes long` } };
  const query = new URLSearchParams({ sql, ...(app === undefined ? {} : { app }) });
  const response = await fetch(`/api/query?${query}`, { signal });
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  if (isJson) return (await response.json()) as QueryAnswer;
  return { error: { code: 'usage', message: await response.text() } };
}

export class QueryBox {
  readonly #run: Run;
  readonly #text = make('textarea', {
    'aria-label': 'Query in SQL',
    placeholder: 'SELECT …',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
  });
  readonly #button = make('button', { class: 'query-run', type: 'submit' }, 'Run');
  readonly #tables = make('ul', { class: 'query-tables', 'aria-label': 'Tables' });
  readonly #said = make('p', { class: 'quiet', role: 'status' });
  readonly #answer = make('div', { class: 'query-answer' });
  #running: AbortController | undefined;

  constructor(container: HTMLElement, run: Run) {
    this.#run = run;
    container.classList.add('query');
    const isMac = navigator.platform.startsWith('Mac');
    const keys = make('kbd', {}, isMac ? '⌘ Enter' : 'Ctrl Enter');
    const form = make(
      'form',
      {},
      this.#tables,
      this.#text,
      make('div', { class: 'query-bar' }, this.#button, keys, this.#said),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#running) this.#stop();
      else void this.#ask();
    });
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.#ask();
    });
    container.replaceChildren(form, this.#answer);
  }

  /** The query in the box. */
  get sql(): string {
    return this.#text.value;
  }

  set sql(sql: string) {
    this.#text.value = sql;
  }

  /** Puts a query into the box that somebody else wrote. */
  offer(sql: string): void {
    this.#text.value = sql;
    setText(this.#said, 'This query came with the address: Run runs it');
  }

  /** Lists the tables there are. Call it whenever the box comes into view. */
  async show(): Promise<void> {
    const answer = await this.#answerTo('', new AbortController().signal);
    if ('tables' in answer) fill(this.#tables, this.#chips(answer));
    else if ('error' in answer) fill(this.#answer, failureOf(answer));
  }

  /** Ends what is running; its answer is not shown. */
  #stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    setText(this.#button, 'Run');
    setText(this.#said, 'Stopped');
  }

  async #ask(): Promise<void> {
    const sql = this.#text.value;
    if (sql.trim() === '') {
      this.#text.focus();
      return;
    }
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    setText(this.#button, 'Stop');
    setText(this.#said, 'Running …');
    const answer = await this.#answerTo(sql, running.signal);
    if (this.#running !== running) return;
    this.#running = undefined;
    setText(this.#button, 'Run');
    this.#showAnswer(answer);
  }

  async #answerTo(sql: string, signal: AbortSignal): Promise<QueryAnswer> {
    try {
      return await this.#run(sql, signal);
    } catch {
      return { error: { code: 'unreachable', message: 'the server of this page can’t be reached' } };
    }
  }

  #showAnswer(answer: QueryAnswer): void {
    if ('error' in answer) {
      setText(this.#said, 'Failed');
      fill(this.#answer, failureOf(answer));
    } else if ('rows' in answer) {
      setText(this.#said, `${rowsOf(answer)} in ${count(answer.ms)} ms`);
      fill(this.#answer, answerOf(answer));
    }
  }

  #chips({ tables }: QueryTables): Content[] {
    return tables.map(({ table: name, columns }) => {
      const title = columns.map((column) => `${column.name} ${column.type}`).join('\n');
      const chip = make('button', { type: 'button', title }, name);
      chip.addEventListener('click', () => {
        this.#text.value = `SELECT * FROM ${name} ORDER BY window_start DESC LIMIT 100`;
        this.#text.focus();
      });
      return make('li', {}, chip);
    });
  }
}

function rowsOf({ rows }: QueryRows): string {
  return `${count(rows.length)} row${rows.length === 1 ? '' : 's'}`;
}

function failureOf({ error }: QueryFailure): HTMLElement {
  const { message, hint } = error;
  return make(
    'p',
    { class: 'query-failure', role: 'alert' },
    make('strong', {}, message),
    hint === undefined ? [] : ` Try: ${hint}`,
  );
}

function answerOf(answer: QueryRows): Content[] {
  const { columns, rows, cut } = answer;
  const figures = columns.flatMap(({ type }, i) => (type === 'INTEGER' || type === 'REAL' ? [i] : []));
  const chart = chartOf(answer);
  const caption = `${rowsOf(answer)}${cut ? ', cut: there are more' : ''}`;
  return [
    chart ? chartElement(chart) : [],
    table(
      caption,
      columns.map(({ name }) => name),
      rows.map((row) => row.map(cellOf)),
      figures,
    ),
    cut
      ? make(
          'p',
          { class: 'quiet' },
          `Cut after ${rowsOf(answer)}. “taxiflow query” prints all; LIMIT, WHERE and GROUP BY select.`,
        )
      : [],
  ];
}

function cellOf(value: string | number | null): Content {
  if (value === null) return make('span', { class: 'query-null' }, 'null');
  return String(value).replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.000Z$/, '$1Z');
}
