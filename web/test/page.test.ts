import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { address, get, Problem } from "@/api/http";
import { token, token_wanted } from "@/api/token";
import { count, duration, milliseconds, utc } from "@/page/figures";
import { producers_report } from "@/page/health";
import { compared_first, label_of as label_of_market, pair_of, side_by_side } from "@/page/pairs";
import {
  FIRST_VIEW,
  first_interval,
  intervals_of,
  meant,
  read_view,
  unknown_instrument,
  type View,
  write_view,
} from "@/page/view";
import { label_of, over_candles, pane_of } from "@/paint/indicator-places";
import { LOGO_STYLE } from "@/paint/logo-style";
import { PaintLoop } from "@/paint/loop";
import { END_HOLDS_MS, History } from "@/screens/market/history";
import { Bars } from "@/series/bars";
import { backoff_ms, FIRST_MS, MOST_MS } from "@/stream/backoff";
import { Samples } from "@/stream/quantiles";
import { protocols } from "@/stream/wire";

describe("address of the page", () => {
  const name = fc.string({ minLength: 1 }).filter((text) => !/[:,]/.test(text) && text.trim() === text);
  test("says all that is shown", () => {
    fc.assert(
      fc.property(
        fc.record({
          exchange: name,
          symbol: name,
          interval: name,
          indicators: fc.array(name),
          table: fc.boolean(),
          theme: fc.constantFrom("system" as const, "dark" as const, "light" as const),
          compare: fc.array(name),
        }),
        (view: View) => {
          expect(read_view(write_view(view))).toEqual(view);
        },
      ),
    );
  });
  test("is short for the usual view", () => {
    expect(write_view({ ...FIRST_VIEW, exchange: "binance", symbol: "BTCUSDC" })).toBe(
      "symbol=binance:BTCUSDC",
    );
  });
  test("a symbol may have a slash", () => {
    expect(read_view("symbol=kraken:BTC/USD")).toMatchObject({ exchange: "kraken", symbol: "BTC/USD" });
  });

  test("means the first instrument of that name where no exchange is given", () => {
    const known = ["BTCUSDC", "ETHUSDC"].map((symbol) => ({ exchange: "binance", symbol }));
    expect(meant(read_view(""), known)).toBe(known[0]);
    expect(meant(read_view("symbol=ETHUSDC"), known)).toBe(known[1]);
    expect(meant(read_view("symbol=binance:ETHUSDC"), known)).toBe(known[1]);
    expect(meant(read_view("symbol=Binance:ethusdc"), known)).toBe(known[1]);
    expect(meant(read_view("symbol=kraken:ETHUSDC"), known)).toBeUndefined();
    expect(meant(read_view("symbol=NONE"), known)).toBeUndefined();
  });
  test("opens on the first instrument of which something is stored", () => {
    const stored = (symbol: string, newest_ms: number | null) => ({ exchange: "kraken", symbol, newest_ms });
    const known = [stored("BTC/USD", null), stored("ETH/USD", 5), stored("XRP/USD", 6)];
    expect(meant(read_view(""), known)).toBe(known[1]);
    expect(meant(read_view(""), known.slice(0, 1))).toBe(known[0]);
    expect(meant(read_view("symbol=BTC/USD"), known)).toBe(known[0]);
  });
  test("begins with an interval that the instrument has, and leaves a chosen one as it is", () => {
    expect(first_interval("1m", ["1s", "1m", "1h"])).toBe("1m");
    expect(first_interval("1m", ["5m", "1h"])).toBe("5m");
    expect(first_interval("1m", [])).toBe("1m");
    expect(first_interval("7m", ["5m", "1h"])).toBe("7m");
  });
  test("offers the intervals of the instruments, each once", () => {
    expect(intervals_of([{ intervals: ["1s", "5m"] }, { intervals: ["5m", "1h"] }])).toEqual([
      "1s",
      "5m",
      "1h",
    ]);
    expect(intervals_of([])).toEqual(["1s", "1m", "15m", "1h", "1d"]);
  });
  test("of an unknown instrument says so until a known one is chosen", () => {
    const known = [{ exchange: "binance", symbol: "BTCUSDC" }];
    expect(unknown_instrument(read_view("symbol=NONE"), known)).toBe(
      "NONE: no such instrument here; choose one from the list above",
    );
    expect(unknown_instrument(read_view("symbol=binance:BTCUSDC"), known)).toBeNull();
    expect(unknown_instrument(read_view(""), known)).toBeNull();
    expect(unknown_instrument(read_view("symbol=NONE"), [])).toBeNull();
  });
});

describe("whether streams are carried", () => {
  const report = (more: object) => ({
    service: "producer",
    instance: "0",
    up: true,
    time_ms: 100_000,
    ...more,
  });
  test("is known while all producers report", () => {
    expect(producers_report([report({})], 110_000)).toBe(true);
    expect(producers_report([report({ service: "consumer-book" })], 110_000)).toBe(false);
    expect(producers_report([report({ up: false })], 110_000)).toBe(false);
    expect(producers_report([report({})], 140_000)).toBe(false);
    expect(producers_report([report({}), report({ instance: "1", time_ms: 1 })], 110_000)).toBe(false);
    expect(producers_report([], 110_000)).toBe(false);
  });
});

describe("markets of several exchanges", () => {
  const listed = (exchange: string, symbol: string, base: string | null, quote: string | null) => ({
    exchange,
    symbol,
    base,
    quote,
  });
  const known = [
    listed("binance", "BTCUSDC", "BTC", "USDC"),
    listed("binance", "ETHUSDC", "ETH", "USDC"),
    listed("binance", "ETHBTC", "ETH", "BTC"),
    listed("kraken", "BTC/USD", "BTC", "USD"),
    listed("coinbase", "ETH-USD", "ETH", "USD"),
    listed("okx", "NOPE", null, null),
  ];
  const symbols = (of: readonly { symbol: string }[]) => of.map(({ symbol }) => symbol);
  test("have the same pair where a dollar's token is quoted in its place", () => {
    expect(known.map(pair_of)).toEqual(["BTC/USD", "ETH/USD", "ETH/BTC", "BTC/USD", "ETH/USD", null]);
  });
  test("stand side by side where base and quote are the same", () => {
    expect(symbols(side_by_side(known))).toEqual([
      "BTCUSDC",
      "BTC/USD",
      "ETHUSDC",
      "ETH-USD",
      "ETHBTC",
      "NOPE",
    ]);
  });
  test("are compared first with those of the shown one's pair", () => {
    const shown = { exchange: "coinbase", symbol: "ETH-USD" };
    expect(symbols(compared_first(known, shown, 8))).toEqual(["ETHUSDC", "ETH-USD"]);
    const alone = { exchange: "binance", symbol: "ETHBTC" };
    expect(symbols(compared_first(known, alone, 3))).toEqual(["BTCUSDC", "BTC/USD", "ETHUSDC"]);
    expect(symbols(compared_first(known, { exchange: null, symbol: null }, 1))).toEqual(["BTCUSDC"]);
  });
  test("are named with their exchange only where there are several", () => {
    expect(label_of_market("kraken:BTC/USD", known)).toBe("BTC/USD · kraken");
    expect(label_of_market("binance:BTCUSDC", known.slice(0, 2))).toBe("BTCUSDC");
  });
});

describe("paint loop", () => {
  function loop() {
    const refreshes: (() => void)[] = [];
    const after: (() => void)[] = [];
    const reported: unknown[] = [];
    const made = new PaintLoop({
      now_ms: () => 0,
      report: (error: unknown) => reported.push(error),
      next_refresh: (call) => refreshes.push(call),
      after_refresh: (call) => after.push(call),
    });
    return { made, refreshes, after, reported };
  }
  test("many requests are one refresh, and it is done after it", () => {
    const { made, refreshes, after } = loop();
    const paint = vi.fn();
    made.ondone = vi.fn();
    made.add(paint);
    made.request();
    made.request();
    expect([paint.mock.calls.length, refreshes.length]).toEqual([0, 1]);
    refreshes[0]?.();
    expect(paint).toHaveBeenCalledTimes(1);
    expect(made.ondone).not.toHaveBeenCalled();
    after[0]?.();
    expect(made.ondone).toHaveBeenCalledTimes(1);
    made.request();
    expect(refreshes.length).toBe(2);
  });
  test("a painter that fails is reported, and holds up nothing", () => {
    const { made, refreshes, after, reported } = loop();
    made.ondone = vi.fn();
    made.add_chart(() => {
      throw new Error("Value is null");
    });
    made.request();
    refreshes[0]?.();
    after[0]?.();
    expect(made.ondone).toHaveBeenCalledTimes(1);
    expect(reported).toEqual([new Error("Value is null")]);
  });
  test("charts get their values at once, and what was removed gets none", () => {
    const { made } = loop();
    const paint = vi.fn();
    const remove = made.add_chart(paint);
    made.request();
    remove();
    made.request();
    expect(paint).toHaveBeenCalledTimes(1);
  });
});

describe("waiting before a reconnect", () => {
  test("is between half a second and ten, and spread", () => {
    fc.assert(
      fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const wait = backoff_ms(attempt, random);
        expect(wait).toBeGreaterThanOrEqual(FIRST_MS);
        expect(wait).toBeLessThanOrEqual(MOST_MS);
      }),
    );
    expect(backoff_ms(10, 0)).toBeLessThan(backoff_ms(10, 1));
  });
});

describe("HTTP", () => {
  const answer = (status: number, body: unknown, headers = {}) =>
    (async () => new Response(JSON.stringify(body), { status, headers })) as unknown as typeof fetch;

  test("a problem says what is wrong, and when to come again", async () => {
    const asked = get("rows/kline", {}, answer(503, { detail: "history is away" }, { "retry-after": "2" }));
    await expect(asked).rejects.toMatchObject({ status: 503, message: "history is away", retry_after_s: 2 });
  });
  test("an answer that is none of the API's is a problem too", async () => {
    const asked = get(
      "x",
      {},
      (async () => new Response("<html>", { status: 502 })) as unknown as typeof fetch,
    );
    await expect(asked).rejects.toBeInstanceOf(Problem);
  });
  test("401 asks for the token, which is then sent", async () => {
    token_wanted.set(false);
    await expect(get("x", {}, answer(401, {}))).rejects.toMatchObject({ status: 401 });
    expect(token_wanted.get()).toBe(true);
    token.set("s3cret/ö");
    const seen = vi.fn(answer(200, {}));
    await get("x", {}, seen);
    expect(seen.mock.calls[0]?.[1]?.headers).toMatchObject({ authorization: "Bearer s3cret/ö" });
    token.set(null);
  });
  test("the token travels to the stream as base64url", () => {
    expect(protocols(null)).toEqual(["cryptostream.v1"]);
    expect(protocols("a?>")).toEqual(["cryptostream.v1", "bearer.YT8-"]);
  });
  test("parameters that are not given are left out", () =>
    expect(address("rows/kline", { to: 5, from: undefined })).toBe("/api/v1/rows/kline?to=5"));
});

describe("history", () => {
  const tags = { exchange: "e", symbol: "s", interval: "1m" };
  const bars = () => {
    const made = new Bars(["close"], 5);
    made.upsert([
      [300, 3],
      [360, 4],
    ]);
    return made;
  };
  const page = (times: number[]) => async (kind: string) => ({
    columns: ["time_ms", kind === "kline" ? "close" : "rsi"],
    types: [],
    next: null,
    rows: times.map((time) => [time, time]),
  });

  test("older bars and their values are put in front", async () => {
    const [window, values] = [bars(), new Bars(["rsi"], 5)];
    const history = new History(tags, page([180, 240, 300]));
    expect(await history.older(window, values)).toEqual({ trimmed: false });
    expect([window.first_ms, window.length, values.first_ms]).toEqual([180, 4, 180]);
    expect(history.state.get()).toEqual({ name: "idle" });
  });
  test("beyond the window's limit the newest go", async () => {
    const window = bars();
    expect(await new History(tags, page([0, 60, 120, 180])).older(window, new Bars([]))).toEqual({
      trimmed: true,
    });
    expect([window.first_ms, window.last_ms]).toEqual([0, 300]);
  });
  test("nothing older is the end, and is asked again after a while: it may be stored later", async () => {
    vi.useFakeTimers();
    let asked = 0;
    const stored = [[300], [300], [180, 240, 300]];
    const history = new History(tags, (measurement) => page(stored[asked++] ?? [])(measurement));
    for (const [wait_ms, questions] of [
      [0, 1],
      [END_HOLDS_MS - 1, 1],
      [1, 2],
    ] as const) {
      vi.advanceTimersByTime(wait_ms);
      expect(await history.older(bars(), new Bars([]))).toBeNull();
      expect([asked, history.state.get()]).toEqual([questions, { name: "end" }]);
    }
    vi.advanceTimersByTime(END_HOLDS_MS);
    const window = bars();
    expect(await history.older(window, new Bars([]))).toEqual({ trimmed: false });
    expect([window.first_ms, history.state.get()]).toEqual([180, { name: "idle" }]);
    vi.useRealTimers();
  });
  test("a dead store is said, and tried again when it asks to", async () => {
    vi.useFakeTimers();
    const history = new History(tags, async () => {
      throw new Problem(503, "the store does not answer", 2);
    });
    await history.older(bars(), new Bars([]));
    expect(history.state.get()).toEqual({ name: "away", detail: "the store does not answer" });
    vi.advanceTimersByTime(2000);
    expect(history.state.get()).toEqual({ name: "idle" });
    vi.useRealTimers();
  });
});

describe("indicators", () => {
  test.each([
    "volatility_bbh",
    "volatility_kcl",
    "trend_ema_fast",
    "trend_sma_slow",
    "trend_psar_up",
    "trend_ichimoku_a",
    "trend_visual_ichimoku_a",
    "volume_vwap",
    "momentum_kama",
    "trend_ema_fast_21",
  ])("%s is drawn over the candles", (column) => expect(over_candles(column)).toBe(true));
  test.each([
    "momentum_rsi",
    "volatility_bbw",
    "volatility_bbhi",
    "trend_macd",
    "trend_psar_up_indicator",
    "volatility_atr",
  ])("%s has a pane", (column) => expect(over_candles(column)).toBe(false));
  test("a family shares its pane", () => {
    expect(new Set(["trend_macd", "trend_macd_signal", "trend_macd_diff"].map(pane_of)).size).toBe(1);
    expect(pane_of("momentum_rsi")).not.toBe(pane_of("momentum_roc"));
  });
  test("labels are short", () =>
    expect(["momentum_rsi", "trend_ema_fast"].map(label_of)).toEqual(["RSI", "EMA fast"]));
});

describe("figures", () => {
  test("what is unknown is said, and is not zero", () => {
    expect([count(null), count(Number.NaN), count(0)]).toEqual(["unknown", "unknown", "0"]);
    expect([milliseconds(null), milliseconds(12.4)]).toEqual(["–", "12 ms"]);
  });
  test("times are UTC", () => expect(utc(0)).toBe("1970-01-01 00:00:00"));
  test.each([
    [1500, "1.5 s"],
    [60_000, "60 s"],
    [600_000, "10 min"],
    [90_000_000, "25 h"],
  ])("%d ms", (ms, text) => expect(duration(ms)).toBe(text));
  test("quantiles are of the newest samples", () => {
    const samples = new Samples(10);
    expect(samples.quantiles()).toBeNull();
    for (let value = 0; value < 30; value++) samples.add(value);
    expect(samples.quantiles()).toEqual({ p50: 25, p95: 29, p99: 29, count: 10 });
  });
});

test("the logo's style is the library's, byte by byte: its hash is in the page's policy", () => {
  const library = readFileSync(
    "node_modules/lightweight-charts/dist/lightweight-charts.production.mjs",
    "utf8",
  );
  expect(library).toContain(JSON.stringify(LOGO_STYLE));
});
