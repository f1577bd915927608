/** A small line over the last ten minutes. */

import type { BookState } from "@/series/heat";
import { prepare } from "./canvas";
import type { Colors } from "./colors";
import { HEAT_SECONDS, line } from "./heat-map";

export function paint_spark(
  canvas: HTMLCanvasElement,
  states: readonly BookState[],
  now_ms: number,
  value_of: (state: BookState) => number | null,
  colors: Colors,
  /** Null: as the values need it. */
  [lowest, highest]: [number, number | null],
): void {
  const prepared = prepare(canvas);
  if (prepared === null) return;
  const { context, width, height } = prepared;
  const most = highest ?? states.reduce((found, state) => Math.max(found, value_of(state) ?? 0), 0) * 1.1;
  const y = (value: number) => height - 4 - ((value - lowest) / (most - lowest || 1)) * (height - 8);
  context.strokeStyle = colors.border;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, y(0));
  context.lineTo(width, y(0));
  context.stroke();
  context.strokeStyle = colors.lines[0] as string;
  context.lineWidth = 1.5;
  const y_of = (state: BookState) => {
    const value = value_of(state);
    return value === null ? null : y(value);
  };
  line(context, states, now_ms, y_of, width, width / HEAT_SECONDS);
}
