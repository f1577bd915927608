/** A market as a function of time: any bar or trade of any moment can be made without a store. */

const INSTRUMENTS = {
  BTCUSDC: { base: 97_431.2, tick: 0.01, lot: 1e-5, seed: 1 },
  ETHUSDC: { base: 3_562.41, tick: 0.01, lot: 1e-4, seed: 2 },
  SOLUSDC: { base: 238.117, tick: 0.001, lot: 0.001, seed: 3 },
  DOGEUSDC: { base: 0.38123, tick: 0.00001, lot: 1, seed: 4 },
};
export const SYMBOLS = Object.keys(INSTRUMENTS);
export const INTERVALS = { "1s": 1000, "1m": 60_000, "15m": 900_000, "1h": 3_600_000, "1d": 86_400_000 };
export const TRADE_MS = 80;

function hash(n, seed) {
  let x = Math.imul((n | 0) ^ (seed * 0x9e3779b9), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x = Math.imul(x ^ (x >>> 16), 0x27d4eb2f);
  return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
}

function smooth(t, period, seed) {
  const at = t / period;
  const n = Math.floor(at);
  const f = at - n;
  const w = f * f * (3 - 2 * f);
  return (hash(n, seed) * (1 - w) + hash(n + 1, seed) * w) * 2 - 1;
}

/** Octaves of noise from seconds to months, each larger by the root of its length. */
const OCTAVES = Array.from({ length: 12 }, (_, index) => ({
  period: 700 * 4 ** index,
  size: 0.000012 * 2 ** index,
}));

function steps(value, step) {
  const digits = Math.max(0, Math.round(-Math.log10(step)));
  return Number((Math.round(value / step) * step).toFixed(digits));
}

export function price(symbol, t) {
  const { base, tick, seed } = INSTRUMENTS[symbol];
  let sum = 0;
  for (const [index, { period, size }] of OCTAVES.entries())
    sum += size * smooth(t, period, seed * 100 + index);
  return steps(base * Math.exp(sum), tick);
}

export function quantity(symbol, n) {
  const { base, lot, seed } = INSTRUMENTS[symbol];
  return steps(((0.02 + hash(n, seed + 50) ** 6 * 3) * 3000) / base + lot, lot);
}

/** [time, open, high, low, close, base_volume, quote_volume, taker_base, taker_quote, trade_count] up to `until`. */
export function bar(symbol, interval, open_time, until = Infinity) {
  const step = INTERVALS[interval];
  const end = Math.min(open_time + step - 1, until);
  const parts = interval === "1s" ? 6 : 30;
  let [high, low] = [-Infinity, Infinity];
  for (let index = 0; index <= parts; index++) {
    const p = price(symbol, open_time + ((end - open_time) * index) / parts);
    high = Math.max(high, p);
    low = Math.min(low, p);
  }
  const open = price(symbol, open_time);
  const close = price(symbol, end);
  const n = Math.floor(open_time / step);
  const share = (end - open_time + 1) / step;
  const volume = quantity(symbol, n) * (step / 1000) * share * 4;
  const taker = volume * (0.3 + 0.4 * hash(n, 77));
  const count = Math.max(1, Math.floor((end - open_time) / TRADE_MS));
  return [open_time, open, high, low, close, volume, volume * close, taker, taker * close, count];
}

export function trade(symbol, id) {
  const t = id * TRADE_MS;
  return [t, id, price(symbol, t), quantity(symbol, id), hash(id, 9) < 0.5];
}

export function levels(symbol, t, count = 20) {
  const { tick, lot, seed } = INSTRUMENTS[symbol];
  const middle = price(symbol, t);
  const unit = steps(Math.max(tick, middle * 0.00002), tick);
  const side = (sign) =>
    Array.from({ length: count }, (_, index) => {
      const p = steps(middle + sign * (tick + index * unit), tick);
      const wall = hash(Math.round(p / (unit * 9)), seed) > 0.8 ? 6 : 1;
      return [
        p,
        steps(
          ((0.2 + hash(Math.round(p / unit), seed + 3)) * wall * (1 + index / 4) * 4000) / middle + lot,
          lot,
        ),
      ];
    });
  return [side(-1), side(1)];
}
