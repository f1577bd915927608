import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bars } from "@/series/bars";
import { common_start, percents, union_times } from "@/series/compare";
import { Decimals, decimals_of } from "@/series/decimals";
import { cause_at, missing, whitespace, with_gap } from "@/series/gaps";
import { BookHistory, imbalance, middle_of } from "@/series/heat";
import { interval_ms } from "@/series/interval";
import { Latest } from "@/series/latest";
import { Provisional } from "@/series/provisional";
import { Tape, type Trade } from "@/series/tape";
import { DOUBT_BARS, tail, timeline } from "@/series/timeline";

const trade = (trade_id: number, price = 1): Trade => ({
  time_ms: trade_id,
  trade_id,
  price,
  quantity: 1,
  buyer_is_maker: false,
});

describe("tape", () => {
  test("has the newest trades by id, each once, whatever the order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100 })), (ids) => {
        const tape = new Tape(1000);
        tape.upsert(ids.map((id) => trade(id)));
        const expected = [...new Set(ids)].sort((a, b) => b - a);
        expect(expected.map((_, index) => tape.newest(index)?.trade_id)).toEqual(expected);
        expect(tape.length).toBe(expected.length);
      }),
    );
  });

  test("a trade that comes again replaces itself; old ones go", () => {
    const tape = new Tape(4);
    tape.upsert(Array.from({ length: 9 }, (_, id) => trade(id)));
    tape.upsert([trade(8, 5)]);
    expect(tape.length).toBe(4);
    expect(tape.newest(0)?.price).toBe(5);
  });
});

describe("open bars", () => {
  test("one stays provisional until its closed bar has come, also when the next has opened", () => {
    const open = new Provisional();
    open.receive([60, 1], 0);
    open.receive([120, 2], 0);
    open.receive([60, 3], 0);
    expect(open.all()).toEqual([
      [60, 3],
      [120, 2],
    ]);
    open.closed(60);
    expect(open.all()).toEqual([[120, 2]]);
  });

  test("a late state of a bar that has closed is nothing", () => {
    const open = new Provisional();
    open.receive([60, 1], 60);
    expect(open.newest).toBeUndefined();
  });
});

describe("timeline", () => {
  const bars = (...times: number[]) => {
    const made = new Bars(["open"]);
    made.upsert(times.map((time) => [time, 1]));
    return made;
  };

  test("missing bars are places without a bar, with their cause", () => {
    const { places, holes } = timeline(bars(0, 60, 240), [], [[60, 240, "lost"]], 60);
    expect(places.map(({ time_ms, bar }) => [time_ms, bar !== null])).toEqual([
      [0, true],
      [60, true],
      [120, false],
      [180, false],
      [240, true],
    ]);
    expect(holes).toEqual([{ from_ms: 120, to_ms: 180, cause: "lost" }]);
  });

  test("a gap that nobody named is a gap all the same", () => {
    expect(timeline(bars(0, 120), [], [], 60).holes).toEqual([{ from_ms: 60, to_ms: 60, cause: "no data" }]);
  });

  test("what follows a gap is in doubt for as long as indicators look back", () => {
    const times = Array.from({ length: DOUBT_BARS + 5 }, (_, index) => 120 + index * 60);
    const { places } = timeline(bars(0, ...times), [], [], 60);
    const real = places.filter((place) => place.bar !== null);
    expect(real[0]?.doubt).toBe(false);
    expect(real.filter((place) => place.doubt).length).toBe(DOUBT_BARS);
    expect(real.at(-1)?.doubt).toBe(false);
  });

  test("the tail has closed bars after a time and the open ones, which are provisional", () => {
    const places = tail(bars(0, 60, 120), [[180, 1]], 0, 0);
    expect(places.map(({ time_ms, provisional }) => [time_ms, provisional])).toEqual([
      [60, false],
      [120, false],
      [180, true],
    ]);
  });

  test("times ascend and none is doubled, for any bars", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 300 })), (indexes) => {
        const { places } = timeline(bars(...indexes.map((each) => each * 60)), [], [], 60);
        const times = places.map((place) => place.time_ms);
        expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
      }),
    );
  });
});

describe("gaps", () => {
  test("a long gap is drawn shorter", () => expect(whitespace(0, 60_000_000, 60).length).toBe(120));
  test("the same gap again is replaced", () =>
    expect(with_gap([[1, 2, "a"]], [1, 5, "b"])).toEqual([[1, 5, "b"]]));
  test("a cause covers what overlaps it", () => {
    expect(cause_at([[10, 20, "halted"]], 19, 30)).toBe("halted");
    expect(cause_at([[10, 20, "halted"]], 20, 30)).toBeNull();
  });
  test("neighbours have none", () => expect(missing([0, 60, 120], 60)).toEqual([]));
});

describe("book", () => {
  const state = (time_ms: number, synced = true) => ({
    time_ms,
    update_id: time_ms,
    synced,
    bids: [[9, 3]] as [number, number][],
    asks: [[11, 1]] as [number, number][],
  });

  test("one state a second is kept, the newest of it, and so many seconds", () => {
    const history = new BookHistory(3);
    for (const time of [1000, 1900, 1500, 2000, 3000, 4000]) history.add(state(time));
    expect(history.all().map((each) => each.time_ms)).toEqual([2000, 3000, 4000]);
    history.add(state(3500));
    expect(history.all().map((each) => each.time_ms)).toEqual([2000, 3500, 4000]);
  });

  test("a book out of step has no middle", () => expect(middle_of(state(1, false))).toBeNull());
  test("imbalance is the share of bids over asks", () => expect(imbalance(state(1))).toBe(0.5));
});

describe("newest by identity", () => {
  test("an older row does not replace a newer one", () => {
    const latest = new Latest(["name"]);
    latest.upsert(
      ["time_ms", "name", "v"],
      [
        [5, "a", 1],
        [4, "a", 2],
        [1, "b", 3],
      ],
    );
    expect(latest.rows()).toEqual([
      { time_ms: 5, name: "a", v: 1 },
      { time_ms: 1, name: "b", v: 3 },
    ]);
  });
});

describe("compare", () => {
  const series = (name: string, from: number, closes: number[]) => ({
    name,
    times: closes.map((_, index) => from + index * 60),
    closes,
  });

  test("begins at the first bar that all have, at zero per cent", () => {
    const both = [series("a", 0, [10, 20, 30]), series("b", 60, [4, 5])];
    expect(common_start(both)).toBe(60);
    expect(both.map((each) => percents(each, 60))).toEqual([
      [
        [60, 0],
        [120, 50],
      ],
      [
        [60, 0],
        [120, 25],
      ],
    ]);
  });

  test("places between are there, so that a gap is seen", () => {
    expect(
      union_times(
        [
          [
            [0, 0],
            [180, 1],
          ],
        ],
        60,
      ),
    ).toEqual([0, 60, 120, 180]);
  });
});

describe("figures of prices", () => {
  test.each([
    [96000.01, 2],
    [1e-7, 7],
    [1.5e-7, 8],
    [100, 0],
    [Number.NaN, 0],
  ])("%d has %d decimals", (value, count) => expect(decimals_of(value)).toBe(count));
  test("never fewer than were seen", () => {
    const decimals = new Decimals();
    decimals.see(1.25, 3);
    expect([decimals.text(3), decimals.text(Number.NaN)]).toEqual(["3.00", "–"]);
  });
  test.each([
    ["1s", 1000],
    ["15m", 900_000],
    ["1d", 86_400_000],
    ["1M", null],
  ])("%s", (name, ms) => expect(interval_ms(name)).toBe(ms));
});
