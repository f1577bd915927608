/** Ten minutes of the book: time to the right, price upwards, quantity as brightness. */

import { type BookState, middle_of } from "@/series/heat";
import { prepare } from "./canvas";
import type { Colors } from "./colors";

export const HEAT_SECONDS = 600;
const AXIS = 72;
/** CSS pixels of a row of prices: finer ones would be no longer seen. */
const ROW_PX = 2;

/** Prices at the bottom and top: where the middle was, and as much of the depth on both sides. */
export function price_range(states: readonly BookState[]): [number, number] | null {
  let [low, high, depth] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const state of states) {
    const middle = middle_of(state);
    if (middle === null) continue;
    [low, high] = [Math.min(low, middle), Math.max(high, middle)];
    depth = Math.max(depth, middle - (state.bids.at(-1)?.[0] ?? middle));
  }
  if (low > high) return null;
  const margin = Math.max(depth * 0.5, (high - low) * 0.15, high * 1e-6);
  return [low - margin, high + margin];
}

/** Quantity by price row of one state. */
export function rows_of(state: BookState, [low, high]: [number, number], count: number): Float64Array {
  const rows = new Float64Array(count);
  for (const [price, quantity] of [...state.bids, ...state.asks]) {
    const row = Math.floor(((price - low) / (high - low)) * count);
    if (row >= 0 && row < count) rows[row] = (rows[row] as number) + quantity;
  }
  return rows;
}

export function paint_heat(
  canvas: HTMLCanvasElement,
  states: readonly BookState[],
  now_ms: number,
  colors: Colors,
  price_text: (price: number) => string,
): void {
  const prepared = prepare(canvas);
  const range = price_range(states);
  if (prepared === null || range === null) return;
  const { context, width, height } = prepared;
  const step = (width - AXIS) / HEAT_SECONDS;
  const count = Math.max(1, Math.floor(height / ROW_PX));
  const tall = height / count;
  const all = states.map((state) => ({ state, rows: rows_of(state, range, count) }));
  const most =
    all.reduce(
      (found, { rows }) =>
        Math.max(
          found,
          rows.reduce((a, b) => Math.max(a, b), 0),
        ),
      0,
    ) || 1;
  for (const { state, rows } of all) {
    const x = width - AXIS - (Math.floor(now_ms / 1000) - Math.floor(state.time_ms / 1000) + 1) * step;
    if (x < -step) continue;
    if (!state.synced) {
      context.globalAlpha = 0.35;
      context.fillStyle = colors.text;
      context.fillRect(x, 0, step + 0.5, height);
      continue;
    }
    const middle = middle_of(state) ?? 0;
    for (let row = 0; row < count; row++) {
      const quantity = rows[row] as number;
      if (quantity === 0) continue;
      const price = range[0] + ((row + 0.5) / count) * (range[1] - range[0]);
      context.globalAlpha = Math.min(1, 0.08 + 0.92 * (quantity / most) ** 0.6);
      context.fillStyle = price < middle ? colors.up : colors.down;
      context.fillRect(x, height - (row + 1) * tall, step + 0.5, tall + 0.5);
    }
  }
  context.globalAlpha = 1;
  context.strokeStyle = colors.doubt;
  context.lineWidth = 1.5;
  line(
    context,
    states,
    now_ms,
    (state) => {
      const middle = middle_of(state);
      return middle === null ? null : height - ((middle - range[0]) / (range[1] - range[0])) * height;
    },
    width - AXIS,
    step,
  );
  context.fillStyle = colors.text;
  context.textAlign = "left";
  for (const share of [0.05, 0.275, 0.5, 0.725, 0.95]) {
    context.fillText(
      price_text(range[0] + share * (range[1] - range[0])),
      width - AXIS + 6,
      height - share * height,
    );
  }
}

/** A line over time that is not joined where a state is missing or unknown for some seconds. */
export function line(
  context: CanvasRenderingContext2D,
  states: readonly BookState[],
  now_ms: number,
  y_of: (state: BookState) => number | null,
  right: number,
  step: number,
): void {
  context.beginPath();
  let last_ms = Number.NEGATIVE_INFINITY;
  for (const state of states) {
    const y = y_of(state);
    if (y === null) continue;
    const x = right - (Math.floor(now_ms / 1000) - Math.floor(state.time_ms / 1000) + 0.5) * step;
    if (state.time_ms - last_ms > 3000) context.moveTo(x, y);
    else context.lineTo(x, y);
    last_ms = state.time_ms;
  }
  context.stroke();
}
