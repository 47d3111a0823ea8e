/**
 * Areas on a grid, and the borders between them. Borders of the TLC zones don't meet exactly; on a grid, neighbours share
 * one border, which is simplified to the same corners for both.
 */

/** A grid over the city. */
export interface GridSize {
  /** Degrees per step: as long as `metres` in both directions. */
  readonly stepLon: number;
  readonly stepLat: number;
  readonly metres: number;
  readonly columns: number;
  readonly rows: number;
}

export type Ring = readonly (readonly number[])[];

/** The south-western corner of every grid. */
export const WEST = -74.27;
export const SOUTH = 40.485;

/** A corner of the grid: `row * (columns + 1) + column`. */
export type Corner = number;

/** A border between two junctions, from one to the other; a closed one begins and ends at the same corner. */
export type Section = readonly Corner[];

/** A narrow island would become a line: its outline may be off by this part of its breadth at most. */
const ISLAND = 5.5;

export class Raster {
  /** The label of each cell; 0 is water. */
  readonly cells: Uint16Array;
  readonly #size: GridSize;
  readonly #width: number;

  constructor(size: GridSize) {
    this.#size = size;
    this.#width = size.columns + 1;
    this.cells = new Uint16Array(size.columns * size.rows);
  }

  columnOf(corner: Corner): number {
    return corner % this.#width;
  }

  rowOf(corner: Corner): number {
    return Math.floor(corner / this.#width);
  }

  /** Labels the cells whose centre is in a polygon, by the even-odd rule along each row. */
  fill(rings: readonly Ring[], label: number): void {
    const { columns } = this.#size;
    const crossings = new Map<number, number[]>();
    for (const ring of rings) {
      for (let i = 1; i < ring.length; i++) {
        const [x0, y0] = this.#gridPoint(ring[i - 1]!);
        const [x1, y1] = this.#gridPoint(ring[i]!);
        const [low, high] = y0 < y1 ? [y0, y1] : [y1, y0];
        for (let row = Math.ceil(low - 0.5); row + 0.5 < high; row++) {
          const x = x0 + ((row + 0.5 - y0) / (y1 - y0)) * (x1 - x0);
          const found = crossings.get(row);
          if (found) found.push(x);
          else crossings.set(row, [x]);
        }
      }
    }
    for (const [row, found] of crossings) {
      found.sort((a, b) => a - b);
      for (let i = 0; i + 1 < found.length; i += 2) {
        const end = Math.ceil(found[i + 1]! - 0.5);
        this.cells.fill(label, row * columns + Math.ceil(found[i]! - 0.5), row * columns + end);
      }
    }
  }

  #gridPoint([lon, lat]: readonly number[]): [number, number] {
    return [(lon! - WEST) / this.#size.stepLon, (lat! - SOUTH) / this.#size.stepLat];
  }

  /** Fills cells of water between two cells of land: they are cracks between zones. */
  closeCracks(): void {
    const { columns } = this.#size;
    const before = this.cells.slice();
    for (let i = columns; i < before.length - columns; i++) {
      if (before[i] !== 0) continue;
      if (before[i - 1] && before[i + 1]) this.cells[i] = before[i - 1]!;
      else if (before[i - columns] && before[i + columns]) this.cells[i] = before[i - columns]!;
    }
  }

  /** Keeps a cell of land only if a square of land that covers it fits: `reach` steps from its middle to its sides. */
  removePiers(reach: number): void {
    const water = this.#grown(
      Uint8Array.from(this.cells, (label) => (label === 0 ? 1 : 0)),
      reach,
    );
    const near = this.#grown(
      water.map((is) => 1 - is),
      reach,
    );
    for (let i = 0; i < near.length; i++) if (near[i] === 0) this.cells[i] = 0;
  }

  /** Marks what is within `reach` steps of a mark, along rows and then columns. */
  #grown(marks: Uint8Array, reach: number): Uint8Array {
    let from = marks;
    for (const step of [1, this.#size.columns]) {
      const to = from.slice();
      for (let i = 0; i < from.length; i++) {
        if (from[i] === 0 || (from[i - step] === 1 && from[i + step] === 1)) continue;
        for (let k = -reach; k <= reach; k++) to[i + k * step] = 1;
      }
      from = to;
    }
    return from;
  }

  /** Gives small patches to their neighbours, land and water alike; the largest of a label stays. */
  removeSpecks(leastArea: number): void {
    const least = leastArea / this.#size.metres ** 2;
    const patches = this.#patches();
    const largest = new Map<number, number>();
    for (const { label, cells } of patches)
      largest.set(label, Math.max(cells.length, largest.get(label) ?? 0));
    for (const { label, cells } of patches.sort((a, b) => a.cells.length - b.cells.length))
      if (cells.length < least && cells.length < largest.get(label)!) this.#giveAway(label, cells);
  }

  #giveAway(label: number, cells: readonly number[]): void {
    const touching = new Map<number, number>();
    for (const cell of cells) {
      for (const next of this.#beside(cell)) {
        const other = this.cells[next];
        if (other !== undefined && other !== label) touching.set(other, (touching.get(other) ?? 0) + 1);
      }
    }
    const [most] = [...touching].sort(([, a], [, b]) => b - a);
    for (const cell of cells) this.cells[cell] = most?.[0] ?? label;
  }

  #beside(cell: number): [number, number, number, number] {
    return [cell - 1, cell + 1, cell - this.#size.columns, cell + this.#size.columns];
  }

  /** Patches of cells of a label that lie side by side. The sea is the first one. */
  #patches(): { label: number; cells: number[] }[] {
    const seen = new Uint8Array(this.cells.length);
    const patches: { label: number; cells: number[] }[] = [];
    for (let first = 0; first < seen.length; first++) {
      if (seen[first]) continue;
      const label = this.cells[first]!;
      const cells = [first];
      seen[first] = 1;
      for (let i = 0; i < cells.length; i++) {
        for (const next of this.#beside(cells[i]!)) {
          if (seen[next] !== 0 || this.cells[next] !== label) continue;
          seen[next] = 1;
          cells.push(next);
        }
      }
      patches.push({ label, cells });
    }
    return patches;
  }

  /** Corners where more than two edges meet. They stay, so that shared borders are simplified alike. */
  junctions(): Set<Corner> {
    const { columns, rows } = this.#size;
    const junctions = new Set<Corner>();
    for (let row = 1; row < rows; row++) {
      for (let column = 1; column < columns; column++) {
        const above = row * columns + column;
        const below = above - columns;
        const [a, b] = [this.cells[below - 1], this.cells[below]];
        const [c, d] = [this.cells[above], this.cells[above - 1]];
        const changes = Number(a !== b) + Number(b !== c) + Number(c !== d) + Number(d !== a);
        if (changes > 2) junctions.add(row * this.#width + column);
      }
    }
    return junctions;
  }

  /** The rings around the cells of each label; the cells are to the left of each edge. */
  rings(): Map<number, Corner[][]> {
    const { columns, rows } = this.#size;
    const width = this.#width;
    const edges = new Map<number, Map<Corner, Corner[]>>();
    const add = (label: number, from: Corner, to: Corner) => {
      const next = edges.get(label) ?? new Map<Corner, Corner[]>();
      edges.set(label, next);
      const found = next.get(from);
      if (found) found.push(to);
      else next.set(from, [to]);
    };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const cell = row * columns + column;
        const label = this.cells[cell]!;
        if (label === 0) continue;
        const corner = row * width + column;
        if (this.cells[cell - columns] !== label) add(label, corner, corner + 1);
        if (column + 1 === columns || this.cells[cell + 1] !== label)
          add(label, corner + 1, corner + 1 + width);
        if (this.cells[cell + columns] !== label) add(label, corner + 1 + width, corner + width);
        if (column === 0 || this.cells[cell - 1] !== label) add(label, corner + width, corner);
      }
    }
    return new Map([...edges].map(([label, next]) => [label, closed(next)]));
  }

  /** Whether water lies on a side of the edge between two corners side by side. */
  isShore(from: Corner, to: Corner): boolean {
    const { columns } = this.#size;
    const [first, alongRow] = [Math.min(from, to), Math.abs(from - to) === 1];
    const cell = this.rowOf(first) * columns + this.columnOf(first);
    return this.cells[cell] === 0 || this.cells[alongRow ? cell - columns : cell - 1] === 0;
  }

  /** How far each cell is from the next cell of another label, in thirds of a step. */
  depths(): Uint16Array {
    const { columns } = this.#size;
    const depths = new Uint16Array(this.cells.length);
    const pass = (
      i: number,
      beside: readonly (readonly [step: number, thirds: number])[],
      first: boolean,
    ) => {
      let least = first ? 0xffff : depths[i]!;
      for (const [step, thirds] of beside) {
        const other = i + step;
        const depth = this.cells[other] === this.cells[i] ? depths[other]! + thirds : thirds;
        if (depth < least) least = depth;
      }
      depths[i] = least;
    };
    const before = [
      [-1, 3],
      [-columns - 1, 4],
      [-columns, 3],
      [-columns + 1, 4],
    ] as const;
    const after = before.map(([step, thirds]) => [-step, thirds] as const);
    for (let i = 0; i < depths.length; i++) if (this.cells[i] !== 0) pass(i, before, true);
    for (let i = depths.length - 1; i >= 0; i--) if (this.cells[i] !== 0) pass(i, after, false);
    return depths;
  }

  /** Square metres; negative for the edge of a hole. */
  area(ring: readonly Corner[]): number {
    let twice = 0;
    for (let i = 0; i < ring.length; i++) {
      const a = ring[i]!;
      const b = ring[(i + 1) % ring.length]!;
      twice += this.columnOf(a) * this.rowOf(b) - this.columnOf(b) * this.rowOf(a);
    }
    return (twice / 2) * this.#size.metres ** 2;
  }

  /** Metres that the outline of an island may be off, if it may be off by `tolerance` elsewhere. */
  islandTolerance(ring: readonly Corner[], tolerance: number): number {
    return Math.min(tolerance, Math.sqrt(this.area(ring)) / ISLAND);
  }

  /** Divides a ring at its junctions; without junctions, at two corners that are far apart. */
  sections(ring: readonly Corner[], junctions: ReadonlySet<Corner>): Section[] {
    let fixed = ring.filter((corner) => junctions.has(corner));
    if (fixed.length < 2) {
      const first = fixed[0] ?? Math.min(...ring);
      const farther = (a: Corner, b: Corner) => (this.#apart(first, b) > this.#apart(first, a) ? b : a);
      fixed = [first, ring.reduce(farther)];
    }
    const stops = new Set(fixed);
    const start = ring.findIndex((corner) => stops.has(corner));
    const turned = [...ring.slice(start), ...ring.slice(0, start), ring[start]!];
    const sections: Corner[][] = [];
    let section: Corner[] = [];
    for (const corner of turned) {
      section.push(corner);
      if (section.length > 1 && stops.has(corner)) {
        sections.push(section);
        section = [corner];
      }
    }
    return sections;
  }

  /** Simplifies a section to the same corners in both directions. */
  simplify(section: Section, tolerance: number): Corner[] {
    const backward = section[0]! > section.at(-1)!;
    const kept = this.#kept(backward ? section.toReversed() : section, tolerance);
    return backward ? kept.reverse() : kept;
  }

  /** Douglas–Peucker: keeps the farthest corner if it is too far from the straight line. */
  #kept(line: readonly Corner[], tolerance: number): Corner[] {
    const first = line[0]!;
    const last = line.at(-1)!;
    let far = 0;
    let most = tolerance / this.#size.metres;
    for (let i = 1; i < line.length - 1; i++) {
      const distance = this.#fromLine(line[i]!, first, last);
      if (distance > most) [far, most] = [i, distance];
    }
    if (far === 0) return [first, last];
    return [
      ...this.#kept(line.slice(0, far + 1), tolerance).slice(0, -1),
      ...this.#kept(line.slice(far), tolerance),
    ];
  }

  #fromLine(corner: Corner, a: Corner, b: Corner): number {
    const length = this.#apart(a, b);
    if (length === 0) return this.#apart(corner, a);
    const dx = this.columnOf(b) - this.columnOf(a);
    const dy = this.rowOf(b) - this.rowOf(a);
    const across =
      dx * (this.rowOf(corner) - this.rowOf(a)) - dy * (this.columnOf(corner) - this.columnOf(a));
    return Math.abs(across) / length;
  }

  #apart(a: Corner, b: Corner): number {
    return Math.sqrt((this.columnOf(a) - this.columnOf(b)) ** 2 + (this.rowOf(a) - this.rowOf(b)) ** 2);
  }
}

/** Joins edges to rings. */
function closed(next: Map<Corner, Corner[]>): Corner[][] {
  const rings: Corner[][] = [];
  for (const start of next.keys()) {
    while (next.get(start)?.length) {
      const ring: Corner[] = [];
      for (let corner = start; next.get(corner)?.length; ) {
        ring.push(corner);
        corner = next.get(corner)!.pop()!;
      }
      rings.push(ring);
    }
  }
  return rings;
}
