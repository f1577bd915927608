/** Places of the timeline as the library wants them. */

import type { CandlestickData, UTCTimestamp, WhitespaceData } from "lightweight-charts";
import type { Place } from "@/series/timeline";
import type { Colors } from "./colors";

export const seconds = (time_ms: number) => (time_ms / 1000) as UTCTimestamp;

export function price_format(decimals: number) {
  return {
    type: "price" as const,
    precision: decimals,
    minMove: Number((10 ** -decimals).toFixed(decimals)),
  };
}

/** An open bar is hollow: only its border and wick are drawn. */
export function candle(
  place: Place,
  colors: Colors,
): CandlestickData<UTCTimestamp> | WhitespaceData<UTCTimestamp> {
  const time = seconds(place.time_ms);
  if (place.bar === null) return { time };
  const [, open = 0, high = 0, low = 0, close = 0] = place.bar;
  const bar = { time, open, high, low, close };
  if (!place.provisional) return bar;
  const color = close >= open ? colors.up : colors.down;
  return { ...bar, color: "transparent", borderColor: color, wickColor: color };
}

export function volume_of(place: Place, colors: Colors) {
  const [, open = 0, , , close = 0, value = 0] = place.bar ?? [];
  return { time: seconds(place.time_ms), value, color: close >= open ? colors.up_soft : colors.down_soft };
}
