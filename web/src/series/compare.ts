/** Several instruments on one scale: per cent since the first bar that all of a window have. */

export interface Closes {
  name: string;
  /** Ascending. */
  times: readonly number[];
  closes: readonly number[];
}

/** The first time that every series has; null if there is none. */
export function common_start(series: readonly Closes[]): number | null {
  const [first, ...others] = series.filter((each) => each.times.length > 0);
  if (first === undefined) return null;
  const sets = others.map((each) => new Set(each.times));
  return first.times.find((time_ms) => sets.every((set) => set.has(time_ms))) ?? null;
}

/** [time_ms, per cent] from `start_ms` on. */
export function percents(series: Closes, start_ms: number): [number, number][] {
  const base = series.closes[series.times.indexOf(start_ms)];
  if (base === undefined || !(base > 0)) return [];
  const points: [number, number][] = [];
  for (const [index, time_ms] of series.times.entries()) {
    const close = series.closes[index] as number;
    if (time_ms >= start_ms && Number.isFinite(close)) points.push([time_ms, (close / base - 1) * 100]);
  }
  return points;
}

/** All times of the series, and those between where all of them lack a bar. */
export function union_times(
  lists: readonly (readonly [number, number][])[],
  step_ms: number | null,
  most = 6000,
): number[] {
  const known = [...new Set(lists.flatMap((list) => list.map(([time_ms]) => time_ms)))].sort((a, b) => a - b);
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined || step_ms === null || (last - first) / step_ms > most)
    return known;
  return Array.from(
    { length: Math.round((last - first) / step_ms) + 1 },
    (_, index) => first + index * step_ms,
  );
}
