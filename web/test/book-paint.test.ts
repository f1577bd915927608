import { expect, test } from "vitest";
import { cumulated } from "@/paint/depth-curve";
import { price_range, rows_of } from "@/paint/heat-map";
import type { BookState } from "@/series/heat";

const state = (middle: number, synced = true): BookState => ({
  time_ms: 0,
  update_id: 1,
  synced,
  bids: synced
    ? [
        [middle - 1, 2],
        [middle - 3, 4],
      ]
    : [],
  asks: synced ? [[middle + 1, 3]] : [],
});

test("quantities add up from the best price on", () => {
  expect(cumulated(state(10).bids)).toEqual([
    [9, 2],
    [7, 6],
  ]);
});

test("the map has room for where the price was and for the depth beside it", () => {
  const [low, high] = price_range([state(10), state(20)]) ?? [0, 0];
  expect(low).toBeLessThan(10);
  expect(high).toBeGreaterThan(20);
});

test("without a book in step there is no range", () => expect(price_range([state(10, false)])).toBeNull());

test("each level is in the row of its price, and those outside are left out", () => {
  expect([...rows_of(state(10), [8, 12], 4)]).toEqual([0, 2, 0, 3]);
});
