/** Quantity that must be traded to move the price so far: both sides added up from the best level. */

import type { BookState } from "@/series/heat";
import type { Level } from "@/stream/wire";
import { prepare } from "./canvas";
import type { Colors } from "./colors";

export function cumulated(levels: readonly Level[]): Level[] {
  let sum = 0;
  return levels.map(([price, quantity]) => {
    sum += quantity;
    return [price, sum];
  });
}

const FOOT = 20;

export function paint_depth(
  canvas: HTMLCanvasElement,
  state: BookState | null,
  colors: Colors,
  price_text: (price: number) => string,
): void {
  const prepared = prepare(canvas);
  if (prepared === null) return;
  const { context, width, height } = prepared;
  const [bids, asks] = [cumulated(state?.bids ?? []), cumulated(state?.asks ?? [])];
  const [bid, ask, lowest, highest] = [bids[0], asks[0], bids.at(-1), asks.at(-1)];
  if (!bid || !ask || !lowest || !highest) return;
  const most = Math.max(lowest[1], highest[1]);
  const middle = (bid[0] + ask[0]) / 2;
  // Both sides to the same scale around the middle, so that their slopes compare.
  const reach = Math.min(middle - lowest[0], highest[0] - middle) || 1;
  const x = (price: number) => width / 2 + ((price - middle) / reach) * (width / 2);
  const y = (sum: number) => height - FOOT - (sum / most) * (height - FOOT - 16);
  for (const [side, line, soft] of [
    [bids, colors.up, colors.up_soft],
    [asks, colors.down, colors.down_soft],
  ] as const) {
    context.beginPath();
    context.moveTo(x(side[0]?.[0] ?? middle), height - FOOT);
    let last_y = height - FOOT;
    for (const [price, sum] of side) {
      context.lineTo(x(price), last_y);
      last_y = y(sum);
      context.lineTo(x(price), last_y);
    }
    const edge = side === bids ? 0 : width;
    context.lineTo(edge, last_y);
    context.strokeStyle = line;
    context.lineWidth = 1.5;
    context.stroke();
    context.lineTo(edge, height - FOOT);
    context.fillStyle = soft;
    context.fill();
  }
  context.fillStyle = colors.text;
  const labels = [middle - reach, middle, middle + reach];
  for (const [index, align] of (["left", "center", "right"] as const).entries()) {
    context.textAlign = align;
    context.fillText(
      price_text(labels[index] as number),
      [4, width / 2, width - 4][index] as number,
      height - 9,
    );
  }
  context.textAlign = "left";
  context.fillText(most.toPrecision(4), 4, 10);
}
