/** Some indicators over closes; null while they warm up. */

export const COLUMNS = [
  "volume_vwap",
  "volatility_bbm",
  "volatility_bbh",
  "volatility_bbl",
  "volatility_atr",
  "trend_macd",
  "trend_macd_signal",
  "trend_macd_diff",
  "trend_sma_slow",
  "trend_ema_fast",
  "trend_ema_slow",
  "momentum_rsi",
];

function ema(values, window) {
  let last = null;
  return values.map((value) => {
    last = last === null ? value : last + (2 / (window + 1)) * (value - last);
    return last;
  });
}

function window_of(values, index, size) {
  return index + 1 < size ? null : values.slice(index + 1 - size, index + 1);
}

/** Rows [time, …COLUMNS] of bars. */
export function indicators(bars) {
  const closes = bars.map((bar) => bar[4]);
  const [fast, slow] = [ema(closes, 12), ema(closes, 26)];
  const macd = fast.map((value, index) => value - slow[index]);
  const signal = ema(macd, 9);
  let [up, down, range] = [0, 0, 0];
  return bars.map((bar, index) => {
    const change = index ? closes[index] - closes[index - 1] : 0;
    up += (Math.max(change, 0) - up) / 14;
    down += (Math.max(-change, 0) - down) / 14;
    range += (bar[2] - bar[3] - range) / 10;
    const w = window_of(closes, index, 20);
    const mean = w && w.reduce((a, b) => a + b) / 20;
    const dev = w && Math.sqrt(w.reduce((a, b) => a + (b - mean) ** 2, 0) / 20);
    const rsi = index < 14 ? null : up + down === 0 ? 50 : (100 * up) / (up + down);
    const warm = (value, size) => (index + 1 < size ? null : value);
    return [
      bar[0],
      mean,
      mean,
      w && mean + 2 * dev,
      w && mean - 2 * dev,
      range,
      warm(macd[index], 26),
      warm(signal[index], 34),
      warm(macd[index] - signal[index], 34),
      mean,
      warm(fast[index], 12),
      warm(slow[index], 26),
      rsi,
    ];
  });
}
