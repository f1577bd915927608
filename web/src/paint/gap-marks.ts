/** Hatched bands over gaps with their cause, and the word over the open bar. */

import type { CanvasRenderingTarget2D } from "fancy-canvas";
import type {
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  SeriesAttachedParameter,
  Time,
  UTCTimestamp,
} from "lightweight-charts";

export interface Mark {
  /** Times of the first and last bar that are covered, s. */
  from: UTCTimestamp;
  to: UTCTimestamp;
  text: string;
  color: string;
  hatched: boolean;
}

export class Marks implements ISeriesPrimitive<Time>, IPrimitivePaneView, IPrimitivePaneRenderer {
  private chart: SeriesAttachedParameter<Time>["chart"] | null = null;
  private update: (() => void) | null = null;
  private marks: readonly Mark[] = [];

  attached({ chart, requestUpdate }: SeriesAttachedParameter<Time>): void {
    this.chart = chart;
    this.update = requestUpdate;
  }

  detached(): void {
    this.chart = this.update = null;
  }

  set(marks: readonly Mark[]): void {
    this.marks = marks;
    this.update?.();
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return [this];
  }

  renderer(): IPrimitivePaneRenderer {
    return this;
  }

  draw(target: CanvasRenderingTarget2D): void {
    const scale = this.chart?.timeScale();
    if (scale === undefined) return;
    const half = scale.options().barSpacing / 2;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.font = "11px system-ui, sans-serif";
      context.textBaseline = "top";
      for (const mark of this.marks) {
        const [from, to] = [scale.timeToCoordinate(mark.from), scale.timeToCoordinate(mark.to)];
        if (from === null || to === null) continue;
        const [left, right] = [from - half, Math.max(to + half, from - half + 3)];
        if (mark.hatched) hatch(context, left, right, mediaSize.height, mark.color);
        if (mark.text !== "") this.label(context, mark, (left + right) / 2, mediaSize.width);
      }
    });
  }

  private label(context: CanvasRenderingContext2D, mark: Mark, middle: number, width: number): void {
    const text_width = context.measureText(mark.text).width;
    const left = Math.max(2, Math.min(middle - text_width / 2, width - text_width - 4));
    context.globalAlpha = 1;
    context.fillStyle = mark.color;
    context.fillText(mark.text, left, mark.hatched ? 22 : 36);
  }
}

function hatch(
  context: CanvasRenderingContext2D,
  left: number,
  right: number,
  height: number,
  color: string,
): void {
  context.save();
  context.beginPath();
  context.rect(left, 38, right - left, height - 38);
  context.clip();
  context.strokeStyle = color;
  context.globalAlpha = 0.35;
  context.beginPath();
  for (let x = left - height; x < right; x += 7) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.restore();
}
