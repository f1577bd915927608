/** A line that is not drawn through gaps, and dashed where its values are in doubt. */

import type { CanvasRenderingTarget2D } from "fancy-canvas";
import {
  type CustomData,
  type CustomSeriesOptions,
  type CustomSeriesWhitespaceData,
  customSeriesDefaultOptions,
  type ICustomSeriesPaneRenderer,
  type ICustomSeriesPaneView,
  type PaneRendererCustomData,
  type PriceToCoordinateConverter,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";

export interface LinePoint extends CustomData<Time> {
  time: UTCTimestamp;
  value: number;
  /** Provisional, or computed from incomplete data. */
  doubt: boolean;
}

interface LineOptions extends CustomSeriesOptions {
  lineWidth: number;
}

type LineData = PaneRendererCustomData<Time, LinePoint>;

export class BrokenLine
  implements ICustomSeriesPaneView<Time, LinePoint, LineOptions>, ICustomSeriesPaneRenderer
{
  private bars: LineData | null = null;
  private color = "";
  private width = 1;

  renderer(): ICustomSeriesPaneRenderer {
    return this;
  }

  update(bars: LineData, options: LineOptions): void {
    this.bars = bars;
    this.color = options.color;
    this.width = options.lineWidth;
  }

  priceValueBuilder(point: LinePoint): number[] {
    return [point.value];
  }

  isWhitespace(
    point: LinePoint | CustomSeriesWhitespaceData<Time>,
  ): point is CustomSeriesWhitespaceData<Time> {
    return (point as Partial<LinePoint>).value === undefined;
  }

  defaultOptions(): LineOptions {
    return { ...customSeriesDefaultOptions, color: "#888888", lineWidth: 1.5 };
  }

  draw(target: CanvasRenderingTarget2D, to_y: PriceToCoordinateConverter): void {
    const { bars } = this;
    if (bars?.visibleRange == null) return;
    const { from, to } = bars.visibleRange;
    // Neighbours on the time scale are one bar apart; more is a gap.
    const farthest = bars.barSpacing * 1.5;
    target.useBitmapCoordinateSpace(({ context, horizontalPixelRatio: h, verticalPixelRatio: v }) => {
      context.strokeStyle = this.color;
      context.lineWidth = this.width * v;
      context.lineJoin = "round";
      for (const dashed of [false, true]) {
        context.setLineDash(dashed ? [3 * h, 3 * h] : []);
        context.beginPath();
        let joined = -1;
        for (let index = Math.max(1, from); index < to; index++) {
          const [last, bar] = [bars.bars[index - 1], bars.bars[index]];
          if (last === undefined || bar === undefined || bar.x - last.x > farthest) continue;
          if ((bar.originalData.doubt ?? false) !== dashed) continue;
          if (joined !== index - 1) context.moveTo(last.x * h, (to_y(last.originalData.value) ?? 0) * v);
          context.lineTo(bar.x * h, (to_y(bar.originalData.value) ?? 0) * v);
          joined = index;
        }
        context.stroke();
      }
      context.setLineDash([]);
    });
  }
}
