/** Where an indicator is drawn: over the candles, or in a pane with others of its family. */

const OVER_CANDLES =
  /^(volatility_(bb[mhl]|kc[chl]|dc[mhl])(?=_\d|$)|trend_(sma|ema|wma)(_|$)|trend_(visual_)?ichimoku_|trend_psar_(up|down)(?=_\d|$)|momentum_kama|volume_vwap)/;
const PARTS =
  /_(signal|diff|hist|sig|k|d|pos|neg|ind|up|down|up_indicator|down_indicator|ind_pos|ind_neg|ind_diff)(?=_\d|$)/;

export function over_candles(column: string): boolean {
  return OVER_CANDLES.test(column) && !column.endsWith("_indicator");
}

/** Columns with the same name here share a pane: trend_macd, trend_macd_signal, trend_macd_diff. */
export function pane_of(column: string): string {
  return column.replace(PARTS, "");
}

/** `momentum_rsi` → `RSI`, `trend_ema_fast` → `EMA fast`: how a column is called in lists. */
export function label_of(column: string): string {
  const [, ...words] = column.split("_");
  const [first = column, ...rest] = words;
  const name = first.length <= 5 ? first.toUpperCase() : first[0]?.toUpperCase() + first.slice(1);
  return [name, ...rest].join(" ");
}
