/** Whether a point is in a ring of points, by the even-odd rule. */
export function inside(ring: readonly (readonly number[])[], lon: number, lat: number): boolean {
  let found = false;
  for (let i = 1; i < ring.length; i++) {
    const [x0, y0] = ring[i - 1] as [number, number];
    const [x1, y1] = ring[i] as [number, number];
    if (y0 > lat !== y1 > lat && lon < x0 + ((lat - y0) / (y1 - y0)) * (x1 - x0)) found = !found;
  }
  return found;
}
