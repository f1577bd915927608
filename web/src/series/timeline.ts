/** What the chart's time scale has: closed bars, open bars, and places of missing ones. */

import type { Gap } from "@/stream/wire";
import type { Bars } from "./bars";
import { cause_at, missing, whitespace } from "./gaps";

export interface Place {
  time_ms: number;
  /** [time_ms, open, high, low, close, volume]; null where a bar is missing. */
  bar: readonly number[] | null;
  provisional: boolean;
  /** A gap is so near before it that indicators are computed from incomplete data. */
  doubt: boolean;
}

export interface Hole {
  from_ms: number;
  /** Time of the last place that is drawn for it. */
  to_ms: number;
  cause: string;
}

/** Bars after a gap whose indicators are marked: most windows are shorter. */
export const DOUBT_BARS = 60;

export function timeline(
  bars: Bars,
  open: readonly (readonly number[])[],
  gaps: readonly Gap[],
  step_ms: number | null,
): { places: Place[]; holes: Hole[] } {
  const rows = [...Array.from({ length: bars.length }, (_, index) => bars.row(index)), ...open];
  const open_from_ms = open[0]?.[0] ?? Number.POSITIVE_INFINITY;
  const places: Place[] = [];
  const holes: Hole[] = [];
  const spans =
    step_ms === null
      ? []
      : missing(
          rows.map((row) => row[0] as number),
          step_ms,
        );
  let doubtful = 0;
  let span = 0;
  for (const row of rows) {
    const time_ms = row[0] as number;
    const hole = spans[span];
    if (step_ms !== null && hole !== undefined && hole[1] === time_ms) {
      const [from_ms, to_ms] = hole;
      const times = whitespace(from_ms, to_ms, step_ms);
      for (const each of times) places.push({ time_ms: each, bar: null, provisional: false, doubt: false });
      const cause = cause_at(gaps, from_ms, to_ms) ?? "no data";
      holes.push({ from_ms, to_ms: times.at(-1) ?? from_ms, cause });
      doubtful = DOUBT_BARS;
      span += 1;
    }
    const provisional = time_ms >= open_from_ms;
    places.push({ time_ms, bar: row, provisional, doubt: provisional || doubtful > 0 });
    doubtful = Math.max(0, doubtful - 1);
  }
  return { places, holes };
}

/** The newest places only, for updates: closed bars after a time, and the open ones. */
export function tail(
  bars: Bars,
  open: readonly (readonly number[])[],
  after_ms: number,
  doubt_until_ms: number,
): Place[] {
  const places: Place[] = [];
  for (let index = bars.lower_bound(after_ms + 1); index < bars.length; index++) {
    const time_ms = bars.time(index);
    places.push({ time_ms, bar: bars.row(index), provisional: false, doubt: time_ms < doubt_until_ms });
  }
  for (const bar of open) places.push({ time_ms: bar[0] as number, bar, provisional: true, doubt: true });
  return places;
}
