/** Lines of several instruments in per cent. */

import {
  ColorType,
  type CustomSeriesOptions,
  createChart,
  type IChartApi,
  type ICustomSeriesPaneView,
  type ISeriesApi,
  LineSeries,
  type Time,
} from "lightweight-charts";
import { type Closes, common_start, percents, union_times } from "@/series/compare";
import { seconds } from "./bar-data";
import { BrokenLine, type LinePoint } from "./broken-line";
import type { Colors } from "./colors";

export interface CompareSource {
  readonly names: readonly string[];
  readonly step_ms: number | null;
  closes(): Closes[];
  shape(): string;
}

const PERCENT = {
  type: "custom" as const,
  minMove: 0.01,
  formatter: (value: number) => `${value.toFixed(2)} %`,
};

export class CompareChart {
  private readonly chart: IChartApi;
  /** Alone puts times on the scale; it draws nothing. */
  private readonly times: ISeriesApi<"Line">;
  private readonly lines = new Map<string, ISeriesApi<"Custom">>();
  private shape = "";
  start_ms: number | null = null;
  /** Newest per cent by name. */
  readonly newest = new Map<string, number>();

  constructor(
    element: HTMLElement,
    private readonly source: CompareSource,
    colors: Colors,
  ) {
    this.chart = createChart(element, {
      autoSize: true,
      layout: { background: { type: ColorType.Solid, color: colors.background }, textColor: colors.text },
      grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
      rightPriceScale: { borderColor: colors.border },
      timeScale: { borderColor: colors.border, timeVisible: true, rightOffset: 6 },
    });
    this.times = this.chart.addSeries(LineSeries, {
      priceLineVisible: false,
      lastValueVisible: false,
      priceFormat: PERCENT,
    });
    for (const [index, name] of source.names.entries()) {
      const view = new BrokenLine() as ICustomSeriesPaneView<Time, LinePoint, CustomSeriesOptions>;
      const color = colors.lines[index % colors.lines.length] as string;
      const line = this.chart.addCustomSeries(view, { color, priceLineVisible: false, priceFormat: PERCENT });
      this.lines.set(name, line);
    }
  }

  paint(): void {
    const closes = this.source.closes();
    this.start_ms = common_start(closes);
    if (this.start_ms === null) return;
    const shape = `${this.source.shape()} ${this.start_ms}`;
    const points = closes.map((each) => percents(each, this.start_ms as number));
    const anew = shape !== this.shape;
    const first = this.shape === "";
    this.shape = shape;
    if (anew)
      this.times.setData(
        union_times(points, this.source.step_ms).map((time_ms) => ({ time: seconds(time_ms) })),
      );
    for (const [index, { name }] of closes.entries()) {
      const drawn = (points[index] ?? []).map(([time_ms, value]) => ({
        time: seconds(time_ms),
        value,
        doubt: false,
      }));
      const last = drawn.at(-1);
      if (anew) this.lines.get(name)?.setData(drawn);
      else if (last !== undefined) this.lines.get(name)?.update(last);
      if (last !== undefined) this.newest.set(name, last.value);
    }
    if (first) this.chart.timeScale().fitContent();
  }

  remove(): void {
    this.chart.remove();
  }
}
