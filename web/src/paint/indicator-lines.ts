/** Lines of the chosen indicators. Only candles put times on the scale: a line has no time that they lack. */

import type {
  CustomSeriesOptions,
  IChartApi,
  ICustomSeriesPaneView,
  ISeriesApi,
  Time,
} from "lightweight-charts";
import type { Place } from "@/series/timeline";
import { price_format, seconds } from "./bar-data";
import { BrokenLine, type LinePoint } from "./broken-line";
import type { ChartSource } from "./chart-source";
import type { Colors } from "./colors";
import { label_of, over_candles, pane_of } from "./indicator-places";

const MOST_LATE = 20;

type Line = ISeriesApi<"Custom">;

export class IndicatorLines {
  private readonly lines = new Map<string, Line>();
  private chosen = "";
  /** Time of the newest closed values that are drawn. */
  private closed_ms = 0;
  /** Time of the newest point of each line. */
  private readonly drawn_ms = new Map<string, number>();
  /** Column and time of provisional points, which may be drawn anew. */
  private readonly live_drawn = new Set<string>();

  constructor(
    private readonly chart: IChartApi,
    /** Names beside the axis take much of a narrow chart. */
    private readonly named: boolean,
  ) {}

  set(source: ChartSource, places: readonly Place[], colors: Colors): void {
    const chosen = `${source.indicators.join()} ${source.decimals.count} ${colors.background}`;
    if (chosen !== this.chosen) this.rebuild(source, colors);
    this.chosen = chosen;
    for (const [index, column] of source.indicators.entries()) {
      const points = places.filter((place) => place.bar !== null).map((place) => point(source, index, place));
      const drawn = points.filter((each) => each !== null);
      this.lines.get(column)?.setData(drawn);
      this.drawn_ms.set(column, (drawn.at(-1)?.time ?? 0) * 1000);
    }
    this.live_drawn.clear();
    this.closed_ms = source.values.last_ms ?? 0;
  }

  /** So many values have come after their bars that all are better set anew. */
  behind(source: ChartSource): boolean {
    return source.values.length - source.values.lower_bound(this.closed_ms + 1) > MOST_LATE;
  }

  /** Draw the newest places again, and those whose values came after their bars. False if all must be set instead. */
  update(source: ChartSource, places: readonly Place[], newest_ms: number, doubt_until_ms: number): boolean {
    const values_ms = source.values.last_ms ?? 0;
    const first_ms = places[0]?.time_ms ?? newest_ms;
    const late: Place[] = [];
    for (let at = source.values.lower_bound(this.closed_ms + 1); at < source.values.length; at++) {
      const time_ms = source.values.time(at);
      if (time_ms < first_ms && source.bars.index_of(time_ms) >= 0) {
        late.push({ time_ms, bar: [], provisional: false, doubt: time_ms < doubt_until_ms });
      }
    }
    const all = [...late, ...places];
    for (const [index, column] of source.indicators.entries()) {
      const drawn_ms = this.drawn_ms.get(column) ?? 0;
      for (const place of all) {
        const drawn = point(source, index, place);
        if (drawn === null) continue;
        // Only the newest point of a line, or one after it, is certain to be where it can be drawn anew.
        if (place.time_ms < drawn_ms && !this.live_drawn.has(`${column} ${place.time_ms}`)) return false;
        this.lines.get(column)?.update(drawn, place.time_ms < drawn_ms);
        this.drawn_ms.set(column, Math.max(drawn_ms, place.time_ms));
        if (place.provisional) this.live_drawn.add(`${column} ${place.time_ms}`);
      }
    }
    this.closed_ms = values_ms;
    return true;
  }

  private rebuild(source: ChartSource, colors: Colors): void {
    for (const line of this.lines.values()) this.chart.removeSeries(line);
    this.lines.clear();
    const panes = new Map<string, number>();
    for (const [index, column] of source.indicators.entries()) {
      const over = over_candles(column);
      const name = pane_of(column);
      if (!over && !panes.has(name)) panes.set(name, panes.size + 1);
      const precision = over ? source.decimals.count : 2;
      const line = this.chart.addCustomSeries(
        new BrokenLine() as ICustomSeriesPaneView<Time, LinePoint, CustomSeriesOptions>,
        {
          color: colors.lines[index % colors.lines.length] ?? colors.text,
          title: this.named ? label_of(column) : "",
          priceLineVisible: false,
          priceFormat: price_format(precision),
        },
        over ? 0 : (panes.get(name) ?? 1),
      );
      if (column.startsWith("momentum_rsi")) guides(line, colors);
      this.lines.set(column, line);
    }
    const [main, ...others] = this.chart.panes();
    main?.setStretchFactor(Math.max(3, 1.6 * others.length));
    for (const pane of others) pane.setStretchFactor(1);
  }
}

/** The levels above and below which the market counts as overbought and oversold. */
function guides(line: Line, colors: Colors): void {
  for (const price of [30, 70]) {
    line.createPriceLine({
      price,
      color: colors.border,
      lineWidth: 1,
      lineStyle: 2,
      axisLabelVisible: false,
    });
  }
}

function point(source: ChartSource, column: number, place: Place): LinePoint | null {
  const at = source.values.index_of(place.time_ms);
  const closed = at >= 0 && !place.provisional;
  const value = closed ? source.values.value(column, at) : source.live_values.at(place.time_ms)?.[column + 1];
  if (value === undefined || !Number.isFinite(value)) return null;
  return { time: seconds(place.time_ms), value, doubt: place.doubt || !closed };
}
