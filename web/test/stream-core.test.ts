import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bars_sink } from "@/screens/market/sinks";
import { Bars } from "@/series/bars";
import { StreamCore } from "@/stream/core";
import type { Frame } from "@/stream/wire";

const COLUMNS = ["time_ms", "close"];
const COUNT = 40;
const EPOCH = "ab12cd";

function frame(number: number, parts: Partial<Frame> = {}): string {
  return JSON.stringify({ frame: number, server_time_ms: 5_000, ...parts });
}

function following(core: StreamCore, bars = new Bars(["close"])) {
  const { ids } = core.subscribe([{ wish: { series: "kline" }, sink: bars_sink(bars, () => {}) }]);
  return { id: ids[0] as number, bars };
}

const confirm = (id: number) =>
  JSON.stringify({ subscribed: { id, columns: COLUMNS, types: ["int", "float"], class: "exact" } });

describe("acknowledgements", () => {
  test("a frame is acknowledged after paint and only once, in the server's time", () => {
    const core = new StreamCore();
    core.opened(1000);
    core.received(JSON.stringify({ time: 1000, server_time_ms: 91_010 }), 1020);
    core.received(frame(17), 1030);
    expect(core.painted(1040).map((text) => JSON.parse(text))).toEqual([{ ack: 17, painted_ms: 91_040 }]);
    expect(core.painted(1050)).toEqual([]);
  });

  test("frames of a lost connection are not acknowledged on the next", () => {
    const core = new StreamCore();
    core.opened(0);
    core.received(frame(1), 1);
    core.closed();
    core.opened(2);
    expect(core.painted(3)).toEqual([]);
  });
});

describe("clock", () => {
  test("the quickest answer gives the offset", () => {
    const core = new StreamCore();
    core.received(JSON.stringify({ time: 1000, server_time_ms: 61_900 }), 2000);
    core.received(JSON.stringify({ time: 3000, server_time_ms: 63_005 }), 3010);
    expect(core.clock.offset_ms).toBe(60_000);
  });

  test("an unanswered question gives the connection up after its time", () => {
    const core = new StreamCore();
    core.opened(0);
    expect(core.tick(14_000).dead).toBe(false);
    expect(core.tick(15_001).dead).toBe(true);
  });

  test("latency is exchange to pixel, without the clocks' difference, of what the market sent just now", () => {
    const core = new StreamCore();
    const sink = { subscribed() {}, rows() {}, restart() {} };
    const wishes = (["trade", "service"] as const).map((series) => ({ wish: { series }, sink }));
    const [id, service] = core.subscribe(wishes).ids as [number, number];
    core.opened(0);
    core.received(JSON.stringify({ time: 0, server_time_ms: 100_000 }), 0);
    for (const each of [id, service]) core.received(confirm(each), 0);
    core.received(
      frame(1, { server_time_ms: 100_001, rows: [[id, [[1]]]], ages: { [id]: 9e9 }, past: [id] }),
      2,
    );
    core.received(
      frame(1, { server_time_ms: 100_001, rows: [[service, [[1]]]], ages: { [service]: 9e3 } }),
      2,
    );
    core.received(
      JSON.stringify({ frame: 2, server_time_ms: 100_010, rows: [[id, [[2]]]], ages: { [id]: 30 } }),
      12,
    );
    core.painted(20);
    expect(core.latency.total.quantiles()).toMatchObject({ p50: 30 + 2 + 8, count: 1 });
  });
});

describe("answers that are not rows", () => {
  test("a restart forgets the rows and goes on from its cursor", () => {
    const core = new StreamCore();
    const { id, bars } = following(core);
    core.opened(0);
    core.received(confirm(id), 0);
    core.received(frame(1, { rows: [[id, [[1000, 5]]]], cursor: { [id]: "k1m0:1@aa" } }), 1);
    core.received(JSON.stringify({ restart: id, reason: "behind", cursor: "k1m0:9@bb" }), 2);
    expect(bars.length).toBe(0);
    core.closed();
    expect(JSON.parse(core.opened(3)[0] as string).subscribe[0]).toMatchObject({ since: "k1m0:9@bb" });
  });

  test("states, skipped trades and refusals are kept by subscription", () => {
    const core = new StreamCore();
    const { id } = following(core);
    core.opened(0);
    core.received(frame(1, { state: [[id, "stale", 7, "feed"]], skipped: { [id]: 3 } }), 1);
    core.received(frame(2, { skipped: { [id]: 4 } }), 1);
    core.received(JSON.stringify({ error: { id, title: "no", detail: "columns: none" } }), 2);
    expect(core.subscriptions.get(id)).toMatchObject({
      state: "stale",
      since_ms: 7,
      cause: "feed",
      skipped: 7,
      error: "columns: none",
    });
  });

  test.each(["", "{", "7", "null", "[]", '{"frame":1,"rows":[[99,[[1]]]]}', '{"subscribed":{"id":99}}'])(
    "%j does no harm",
    (text) => {
      const core = new StreamCore();
      core.opened(0);
      expect(() => core.received(text, 1)).not.toThrow();
    },
  );
});

/** What a server of the protocol does with one exact series of `COUNT` rows. */
class Server {
  next = 0;
  frames = 0;
  constructor(private readonly core: StreamCore) {}

  connect(id: number): void {
    const [text = "{}"] = this.core.opened(0);
    const since = JSON.parse(text).subscribe[0].since as string | undefined;
    this.next = since === undefined ? 0 : Number(/:(\d+)@/.exec(since)?.[1]);
    this.core.received(confirm(id), 0);
  }

  push(id: number, count: number): void {
    const rows = Array.from({ length: Math.min(count, COUNT - this.next) }, (_, index) =>
      row(this.next + index),
    );
    this.next += rows.length;
    this.core.received(
      frame(++this.frames, { rows: [[id, rows]], cursor: { [id]: `k1m0:${this.next}@${EPOCH}` } }),
      1,
    );
  }

  restart(id: number): void {
    this.next = 0;
    this.core.received(JSON.stringify({ restart: id, reason: "behind", cursor: `k1m0:0@${EPOCH}` }), 1);
  }
}

const row = (offset: number) => [offset * 60_000, offset * 1.5];

test("any interleaving of frames, drops, repeats, restarts and paints ends with the server's rows", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("push" as const), count: fc.integer({ min: 0, max: 9 }) }),
    fc.record({
      do: fc.constantFrom("drop" as const, "restart" as const, "paint" as const, "lost" as const),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const core = new StreamCore();
      const { id, bars } = following(core);
      const server = new Server(core);
      server.connect(id);
      let unpainted = 0;
      for (const each of steps) {
        if (each.do === "push") {
          server.push(id, each.count);
          unpainted += 1;
        } else if (each.do === "restart") server.restart(id);
        else if (each.do === "paint") {
          expect(core.painted(2).length).toBe(unpainted);
          unpainted = 0;
        } else {
          // "lost": the server had sent a frame that never came.
          if (each.do === "lost") server.next = Math.min(COUNT, server.next + 3);
          core.closed();
          server.connect(id);
          unpainted = 0;
        }
      }
      server.push(id, COUNT);
      const expected = Array.from({ length: COUNT }, (_, offset) => row(offset));
      expect(Array.from({ length: bars.length }, (_, index) => bars.row(index))).toEqual(expected);
    }),
  );
});
