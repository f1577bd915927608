/** Spans without data: those that the server names, and those that the times show. */

import type { Gap } from "@/stream/wire";

const KEPT = 500;

/** The gaps with one more; the same span (or one that begins at the same time) is replaced. */
export function with_gap(gaps: readonly Gap[], added: Gap): Gap[] {
  return [...gaps.filter(([from_ms]) => from_ms !== added[0]), added]
    .sort((a, b) => a[0] - b[0])
    .slice(-KEPT);
}

/** Why nothing is at a time; null if no gap that was named covers it. */
export function cause_at(gaps: readonly Gap[], from_ms: number, to_ms: number): string | null {
  return gaps.find(([from, to]) => from < to_ms && to > from_ms)?.[2] ?? null;
}

/** Places of missing bars among ascending times: [from_ms, to_ms). */
export function missing(times: ArrayLike<number>, step_ms: number): [number, number][] {
  const spans: [number, number][] = [];
  for (let index = 1; index < times.length; index++) {
    const expected_ms = (times[index - 1] as number) + step_ms;
    const found_ms = times[index] as number;
    if (found_ms > expected_ms) spans.push([expected_ms, found_ms]);
  }
  return spans;
}

/** Times of bars inside a gap, to be drawn as whitespace; a long gap is drawn shorter than it was. */
export function whitespace(from_ms: number, to_ms: number, step_ms: number, most = 120): number[] {
  const count = Math.floor((to_ms - from_ms) / step_ms);
  return Array.from({ length: Math.min(count, most) }, (_, index) => from_ms + index * step_ms);
}
