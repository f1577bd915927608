/** The market chart: candles, volume, indicators. It gets all data when the window changes, else only the newest. */

import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
} from "lightweight-charts";
import { DOUBT_BARS, tail, timeline } from "@/series/timeline";
import { candle, price_format, seconds, volume_of } from "./bar-data";
import type { ChartPosition, ChartSource } from "./chart-source";
import type { Colors } from "./colors";
import { type Mark, Marks } from "./gap-marks";
import { IndicatorLines } from "./indicator-lines";

/** A chart that follows the market grows by each bar; it is set anew when it is larger by so many than the window. */
const GROWN = 500;
/** So near to the left edge, older bars are asked for. */
const NEAR_BARS = 100;

export class MarketChart {
  readonly chart: IChartApi;
  readonly candles: ISeriesApi<"Candlestick">;
  private readonly volume: ISeriesApi<"Histogram">;
  private readonly marks = new Marks();
  private readonly lines: IndicatorLines;
  private shape = "";
  private count = 0;
  private times_from_ms: number[] = [];
  private newest_ms = 0;
  private closed_ms = 0;
  private holes: Mark[] = [];
  private doubt_until_ms = 0;
  private way = "";
  private decimals = -1;
  /** What the newest places were drawn from. */
  private drawn: unknown[] = [];
  private open_drawn = new Set<number>();
  private marked = "";
  private looking = 0;
  private readonly listening = new AbortController();

  constructor(
    element: HTMLElement,
    private readonly source: ChartSource,
    public colors: Colors,
    /** Shown again once there are bars. */
    private kept: ChartPosition | null = null,
  ) {
    this.chart = createChart(element, { autoSize: true, crosshair: { mode: CrosshairMode.Normal } });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: true });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.candles.attachPrimitive(this.marks);
    this.lines = new IndicatorLines(this.chart, element.clientWidth > 600);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.look_left());
    // At its left end the chart moves no further, but what was not stored before may be now.
    const signal = this.listening.signal;
    element.addEventListener("wheel", () => this.look_left(), { passive: true, signal });
    element.addEventListener("pointerup", () => this.look_left(), { signal });
    this.theme(colors);
  }

  theme(colors: Colors): void {
    this.colors = colors;
    this.chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: colors.background },
        textColor: colors.text,
        attributionLogo: true,
        panes: { separatorColor: colors.border, separatorHoverColor: colors.grid },
      },
      grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
      rightPriceScale: { borderColor: colors.border },
      timeScale: { borderColor: colors.border, timeVisible: true, secondsVisible: true, rightOffset: 6 },
    });
    this.candles.applyOptions({
      upColor: colors.up,
      downColor: colors.down,
      borderUpColor: colors.up,
      borderDownColor: colors.down,
      wickUpColor: colors.up,
      wickDownColor: colors.down,
    });
    this.shape = "";
    this.paint();
  }

  paint(): void {
    const { source } = this;
    if (this.decimals !== source.decimals.count) {
      this.decimals = source.decimals.count;
      this.candles.applyOptions({
        priceFormat: price_format(this.decimals),
      });
    }
    const shape = source.shape();
    const anew =
      shape !== this.shape || this.count > 6000 + GROWN || this.breaks_at_end() || this.lines.behind(source);
    if (anew || !this.update_newest()) this.set_all(shape);
    this.color_price();
    this.mark();
  }

  /** The price's label would have the body's colour, and the open bar has none. */
  private color_price(): void {
    const bar = this.source.open_bars().at(-1);
    const way =
      bar === undefined ? "" : (bar[4] as number) >= (bar[1] as number) ? this.colors.up : this.colors.down;
    if (way !== this.way) this.candles.applyOptions({ priceLineColor: way });
    this.way = way;
  }

  /** Ask for older bars when the left edge is near. While data is being set the range is of the data before. */
  private look_left(): void {
    cancelAnimationFrame(this.looking);
    this.looking = requestAnimationFrame(() => {
      const range = this.chart.timeScale().getVisibleLogicalRange();
      if (range !== null && this.count > 0 && range.from < NEAR_BARS) this.source.wants_older();
    });
  }

  /** A bar that came after a hole: the hole's places must be put before it. */
  private breaks_at_end(): boolean {
    const { source } = this;
    if (source.step_ms === null || this.count === 0) return false;
    const next = source.bars.time(source.bars.lower_bound(this.newest_ms + 1));
    const first = Number.isNaN(next)
      ? source.open_bars().find(([time_ms]) => (time_ms as number) > this.newest_ms)?.[0]
      : next;
    return first !== undefined && first > this.newest_ms + source.step_ms;
  }

  private set_all(shape: string): void {
    const { source, colors } = this;
    const { places, holes } = timeline(source.bars, source.open_bars(), source.gaps, source.step_ms);
    const keep = this.place_in_view();
    this.candles.setData(places.map((place) => candle(place, colors)));
    this.volume.setData(
      places.filter((place) => place.bar !== null).map((place) => volume_of(place, colors)),
    );
    this.lines.set(source, places, colors);
    this.times_from_ms = places.map((place) => place.time_ms);
    this.count = places.length;
    this.newest_ms = places.at(-1)?.time_ms ?? 0;
    this.open_drawn = new Set(places.filter((place) => place.provisional).map((place) => place.time_ms));
    this.closed_ms = source.bars.last_ms ?? 0;
    this.holes = holes.map(({ from_ms, to_ms, cause }) => ({
      from: seconds(from_ms),
      to: seconds(to_ms),
      text: cause,
      color: colors.doubt,
      hatched: true,
    }));
    this.doubt_until_ms = (holes.at(-1)?.to_ms ?? 0) + (DOUBT_BARS + 1) * (source.step_ms ?? 0);
    this.shape = shape;
    this.marked = "";
    this.drawn = [];
    if (keep !== null) this.restore(keep);
    if (this.kept !== null && source.bars.length > 0) this.go_to(this.kept);
  }

  private go_to({ bar_spacing, from_right }: ChartPosition): void {
    this.kept = null;
    this.chart.timeScale().applyOptions({ barSpacing: bar_spacing });
    this.chart.timeScale().scrollToPosition(from_right, false);
  }

  position(): ChartPosition {
    const scale = this.chart.timeScale();
    return { bar_spacing: scale.options().barSpacing, from_right: scale.scrollPosition() };
  }

  /** False if all must be set instead. */
  private update_newest(): boolean {
    const { source, colors } = this;
    // Only what has changed: most frames have a quote, and no bar.
    const open = source.open_bars().at(-1);
    const live = source.live_values.newest;
    const closed_ms = source.bars.last_ms ?? this.closed_ms;
    const values_ms = source.values.last_ms;
    const drawn = [open, live, closed_ms, values_ms];
    if (drawn.every((each, index) => each === this.drawn[index])) return true;
    this.drawn = drawn;
    const places = tail(source.bars, source.open_bars(), this.closed_ms, this.doubt_until_ms);
    // What is drawn can be drawn anew; a bar where a hole was needs all places.
    const known = places.every(({ time_ms }) => time_ms > this.newest_ms || this.open_drawn.has(time_ms));
    if (!known) return false;
    for (const place of places) {
      const older = place.time_ms < this.newest_ms;
      this.candles.update(candle(place, colors), older);
      this.volume.update(volume_of(place, colors), older);
      if (place.provisional) this.open_drawn.add(place.time_ms);
      else this.open_drawn.delete(place.time_ms);
      if (place.time_ms > this.newest_ms) {
        this.newest_ms = place.time_ms;
        this.times_from_ms.push(place.time_ms);
        this.count += 1;
      }
    }
    this.closed_ms = closed_ms;
    return this.lines.update(source, places, this.newest_ms, this.doubt_until_ms);
  }

  /** Time at the left edge, when the newest bar is not in view: then the view must not move with the data. */
  private place_in_view(): { time_ms: number; part: number; width: number } | null {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null || this.count === 0 || range.to >= this.count - 1) return null;
    const left = Math.max(0, Math.floor(range.from));
    const time_ms = this.times_from_ms[left];
    return time_ms === undefined ? null : { time_ms, part: range.from - left, width: range.to - range.from };
  }

  private restore({ time_ms, part, width }: { time_ms: number; part: number; width: number }): void {
    const index = this.times_from_ms.findIndex((each) => each >= time_ms);
    if (index >= 0)
      this.chart.timeScale().setVisibleLogicalRange({ from: index + part, to: index + part + width });
  }

  private mark(): void {
    const newest = this.source.open_bars().at(-1)?.[0];
    const marked = `${this.shape} ${newest} ${this.colors.background}`;
    if (marked === this.marked) return;
    this.marked = marked;
    this.marks.set([...this.holes, ...this.open_mark(newest)]);
  }

  private open_mark(newest: number | undefined): Mark[] {
    if (newest === undefined) return [];
    const time = seconds(newest);
    return [{ from: time, to: time, text: "provisional", color: this.colors.text, hatched: false }];
  }

  coordinate_of(time_ms: number): number | null {
    return this.chart.timeScale().timeToCoordinate(seconds(time_ms));
  }

  follow(): void {
    this.chart.timeScale().scrollToRealTime();
  }

  remove(): void {
    this.listening.abort();
    cancelAnimationFrame(this.looking);
    this.chart.remove();
  }
}
