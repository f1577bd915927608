import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bars } from "@/series/bars";

const rows_of = (bars: Bars) => Array.from({ length: bars.length }, (_, index) => bars.row(index));
const row = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 9 }));

function last_writer(batches: readonly (readonly (readonly [number, number])[])[]): [number, number][] {
  const map = new Map<number, number>();
  for (const batch of batches) for (const [time, value] of batch) map.set(time, value);
  return [...map].sort(([a], [b]) => a - b);
}

test("whatever the order, the last writer of each time wins and times ascend", () => {
  fc.assert(
    fc.property(fc.array(fc.array(row)), (batches) => {
      const bars = new Bars(["value"], 1000);
      for (const batch of batches) bars.upsert(batch);
      expect(rows_of(bars)).toEqual(last_writer(batches));
    }),
  );
});

test("beyond the limit the newest bars stay, for any order", () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 80 }), (rows) => {
      const bars = new Bars(["value"], 10);
      bars.upsert(rows);
      expect(rows_of(bars)).toEqual(last_writer([rows]).slice(-10));
    }),
  );
});

test("older pages are put among what is there, by the same rule", () => {
  fc.assert(
    fc.property(fc.array(row), fc.array(row), (page, present) => {
      const bars = new Bars(["value"], 1000);
      bars.upsert(present);
      expect(bars.upsert_older(page)).toBe(false);
      expect(rows_of(bars)).toEqual(last_writer([present, page]));
    }),
  );
});

describe("window", () => {
  test("older pages push the newest bars out, and say so", () => {
    const bars = new Bars(["value"], 3);
    bars.upsert([
      [3, 3],
      [4, 4],
      [5, 5],
    ]);
    expect(
      bars.upsert_older([
        [1, 1],
        [2, 2],
      ]),
    ).toBe(true);
    expect(rows_of(bars)).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
  });

  test("many appends stay within the limit and its memory", () => {
    const bars = new Bars(["value"], 100);
    for (let time = 0; time < 20_000; time++) bars.upsert([[time, time * 2]]);
    expect(bars.length).toBe(100);
    expect([bars.first_ms, bars.last_ms]).toEqual([19_900, 19_999]);
    expect(bars.value(0, bars.index_of(19_950))).toBe(39_900);
  });

  test("later bars and known ones again are no change of shape; all else is", () => {
    const bars = new Bars(["value"]);
    bars.upsert([
      [1, 1],
      [3, 3],
    ]);
    let before = bars.shape;
    bars.upsert([
      [1, 1],
      [3, 3],
      [5, 5],
    ]);
    expect(bars.shape).toBe(before);
    for (const row of [
      [5, 6],
      [2, 2],
      [1, 0],
    ]) {
      before = bars.shape;
      bars.upsert([row]);
      expect(bars.shape).toBe(before + 1);
    }
  });

  test("a missing value is no number, not zero", () => {
    const bars = new Bars(["a", "b"]);
    bars.upsert([[1, 7]]);
    expect(bars.row(0)).toEqual([1, 7, Number.NaN]);
  });
});
