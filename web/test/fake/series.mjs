/** Kinds of series: tags, columns, and rows between two moments of the fake market. */

import { COLUMNS, indicators } from "./indicators.mjs";
import { bar, INTERVALS, levels, price, quantity, SYMBOLS, TRADE_MS, trade } from "./market.mjs";

const BAR = [
  "open",
  "high",
  "low",
  "close",
  "base_volume",
  "quote_volume",
  "taker_buy_base_volume",
  "taker_buy_quote_volume",
];
const floats = (names) => names.map((name) => [name, "float"]);
const BAR_COLUMNS = [...floats(BAR), ["trade_count", "int"]];
const BAR_TAGS = ["exchange", "symbol", "interval"];
const ints = (names) => names.map((name) => [name, "int"]);

export const KINDS = {
  kline: { tags: BAR_TAGS, columns: BAR_COLUMNS, class: "exact", letter: "k" },
  indicator: { tags: BAR_TAGS, columns: floats(COLUMNS), class: "exact", letter: "k" },
  open_bar: { tags: BAR_TAGS, columns: BAR_COLUMNS, class: "latest" },
  indicator_live: { tags: BAR_TAGS, columns: floats(COLUMNS), class: "latest" },
  trade: {
    tags: ["exchange", "symbol"],
    columns: [
      ["trade_id", "int"],
      ["price", "float"],
      ["quantity", "float"],
      ["buyer_is_maker", "bool"],
    ],
    class: "tape",
    letter: "t",
  },
  quote: {
    tags: ["exchange", "symbol"],
    columns: [...floats(["bid_price", "bid_quantity", "ask_price", "ask_quantity"]), ["update_id", "int"]],
    class: "latest",
  },
  levels: {
    tags: ["exchange", "symbol"],
    columns: [
      ["update_id", "int"],
      ["synced", "bool"],
      ["bids", "levels"],
      ["asks", "levels"],
    ],
    class: "latest",
  },
  ledger: {
    tags: ["exchange", "symbol", "stream", "interval"],
    columns: ints(["expected", "stored", "backfilled", "halted", "lost", "duplicates"]),
    class: "exact",
    letter: "l",
  },
  freshness: {
    tags: ["exchange", "stream", "hop", "instance"],
    columns: floats(["p50", "p95", "p99"]),
    class: "latest",
  },
  carriage: {
    tags: ["exchange", "symbol", "stream"],
    columns: [
      ["carried", "bool"],
      ["since_ms", "int"],
    ],
    class: "latest",
  },
  service: {
    tags: ["service", "instance"],
    columns: [
      ["messages_per_s", "float"],
      ["lag_messages", "int"],
      ["lag_seconds", "float"],
      ["dead_letters", "int"],
      ["restarts", "int"],
      ["up", "bool"],
    ],
    class: "latest",
  },
};

/** Bars whose open time is in [from, to), closed ones only, without those in holes. */
export function bars(request, from, to, holes = []) {
  const step = INTERVALS[request.interval];
  const found = [];
  for (let t = Math.ceil(from / step) * step; t < to; t += step) {
    if (!holes.some(([t0, t1]) => t >= t0 && t < t1)) found.push(bar(request.symbol, request.interval, t));
  }
  return found;
}

export function indicator_rows(request, from, to, holes) {
  const step = INTERVALS[request.interval];
  const rows = indicators(bars(request, from - 60 * step, to, holes));
  return rows.filter((row) => row[0] >= from);
}

/** The newest row(s) of a series of class latest, [time, tags left out…, values…]. */
export function newest(request, now, state) {
  const { series, symbol, interval } = request;
  const step = INTERVALS[interval];
  const open = step && Math.floor(now / step) * step;
  switch (series) {
    case "open_bar":
      return [bar(symbol, interval, open, now)];
    case "indicator_live": {
      const all = [...bars(request, open - 80 * step, open), bar(symbol, interval, open, now)];
      return [indicators(all).at(-1)];
    }
    case "quote": {
      const [bids, asks] = levels(symbol, now, 1);
      return [[Math.floor(now / 100) * 100, ...bids[0], ...asks[0], now]];
    }
    case "levels": {
      if (state.unsynced) return [[now, now, false, null, null]];
      return [[now, now, true, ...levels(symbol, Math.floor(now / 250) * 250, request.depth ?? 100)]];
    }
    case "freshness":
      return ["socket", "kafka", "consumed", "stored"].flatMap((hop, index) =>
        ["trades", "klines", "depth"].map((stream) => {
          const p = (index + 1) * 9 + ((now / 1000) % 5);
          return [now, "binance", stream, hop, "0", p, p * 2.1, p * 3.4];
        }),
      );
    case "carriage":
      return ["BTCUSDC", "ETHUSDC"].map((name) => [now, "binance", name, "trades", true, now - 3_600_000]);
    case "service":
      return ["produce", "consume trades", "consume klines", "consume depth"].map((name) => [
        now,
        name,
        "0",
        812.5,
        14,
        0.021,
        0,
        1,
        true,
      ]);
    default:
      return [];
  }
}

export function ledger_rows(from, to, state) {
  const rows = [];
  for (let t = Math.ceil(from / 60_000) * 60_000; t + 60_000 <= to; t += 60_000) {
    for (const symbol of SYMBOLS) {
      for (const [stream, interval, expected] of [
        ["trades", "", 750],
        ["klines", "1s", 60],
        ["klines", "1m", 1],
      ]) {
        const lost = state.lost && symbol === "ETHUSDC" && stream === "trades" && t % 600_000 === 0 ? 3 : 0;
        rows.push([t, "binance", symbol, stream, interval, expected, expected - lost, 0, 0, lost, 0]);
      }
    }
  }
  return rows;
}

export function trades(request, from_id, to_id) {
  return Array.from({ length: Math.max(0, to_id - from_id) }, (_, index) =>
    trade(request.symbol, from_id + index),
  );
}

export { INTERVALS, price, quantity, SYMBOLS, TRADE_MS };
