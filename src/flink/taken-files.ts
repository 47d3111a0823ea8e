/** Which files of results a state has taken. Flink numbers the files of a writer, so a range of numbers stands for many. */

type Range = [from: number, to: number];

export class TakenFiles {
  /** By the name of a file without its number. */
  readonly #ranges = new Map<string, Range[]>();

  /** `ranges` is what `entries` gave. */
  constructor(entries: Iterable<readonly [writer: string, ranges: string]> = []) {
    for (const [writer, ranges] of entries)
      this.#ranges.set(
        writer,
        ranges.split(',').map((range): Range => {
          const [from = '', to = from] = range.split('-');
          return [Number(from), Number(to)];
        }),
      );
  }

  has(name: string): boolean {
    const { writer, number } = partsOf(name);
    return (this.#ranges.get(writer) ?? []).some(([from, to]) => number >= from && number <= to);
  }

  add(name: string): void {
    const { writer, number } = partsOf(name);
    const ranges = [...(this.#ranges.get(writer) ?? []), [number, number] as Range].sort(
      (a, b) => a[0] - b[0],
    );
    const joined: Range[] = [];
    for (const [from, to] of ranges) {
      const last = joined.at(-1);
      if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
      else joined.push([from, to]);
    }
    this.#ranges.set(writer, joined);
  }

  entries(): [writer: string, ranges: string][] {
    return [...this.#ranges].map(([writer, ranges]) => [
      writer,
      ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(','),
    ]);
  }
}

/** `pickup_count/part-37cf4c21-0-3.json` is number 3 of its writer; a file without a number is the only one of its name. */
function partsOf(name: string): { writer: string; number: number } {
  const [, before, number, after = ''] = /^(.*?-)(0|[1-9]\d{0,14})(\.\w+)?$/.exec(name) ?? [];
  return before === undefined
    ? { writer: name, number: 0 }
    : { writer: `${before}*${after}`, number: Number(number) };
}
