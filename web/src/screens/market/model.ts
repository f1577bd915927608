/** All that the market screen shows of one instrument and interval; filled by the stream, read by painters. */

import type { KlineColumn, SeriesKind } from "@/api/types";
import { Store } from "@/page/store";
import type { ChartSource } from "@/paint/chart-source";
import { Bars } from "@/series/bars";
import { Decimals } from "@/series/decimals";
import { with_gap } from "@/series/gaps";
import { BookHistory } from "@/series/heat";
import { interval_ms } from "@/series/interval";
import { Provisional } from "@/series/provisional";
import { Tape } from "@/series/tape";
import type { Handle, StreamClient } from "@/stream/client";
import type { Subscription, Wanted } from "@/stream/subscription";
import type { Gap } from "@/stream/wire";
import { GapCauses } from "./gap-causes";
import { type BarTags, History, PAGE_BARS } from "./history";
import { bars_sink, book_sink, open_sink, type QuoteRow, quote_sink, trades_sink } from "./sinks";

export const BAR_COLUMNS = [
  "open",
  "high",
  "low",
  "close",
  "base_volume",
  "quote_volume",
  "taker_buy_base_volume",
  "taker_buy_quote_volume",
  "trade_count",
] as const satisfies readonly KlineColumn[];

export class MarketModel implements ChartSource {
  readonly bars = new Bars(BAR_COLUMNS);
  readonly values: Bars;
  readonly open = new Provisional();
  readonly live_values = new Provisional();
  readonly tape = new Tape();
  readonly book = new BookHistory(1);
  readonly decimals = new Decimals();
  readonly quantity_decimals = new Decimals();
  readonly history: History;
  readonly step_ms: number | null;
  /** True while the newest bars have left the window for older ones. */
  readonly scrolled_back = new Store(false);
  quote: QuoteRow | null = null;
  gaps: readonly Gap[] = [];
  private gap_count = 0;
  private handle: Handle | null = null;
  private causes: GapCauses | null = null;
  private ids: Partial<Record<SeriesKind, number>> = {};

  constructor(
    private readonly stream: StreamClient,
    readonly tags: BarTags,
    readonly indicators: readonly string[],
    private readonly repaint: () => void,
    history: History = new History(tags),
  ) {
    this.values = new Bars(indicators);
    this.history = history;
    this.step_ms = interval_ms(tags.interval);
  }

  start(): void {
    const { exchange, symbol } = this.tags;
    const columns = { columns: [...this.indicators] };
    const bars = { ...this.tags, last: PAGE_BARS };
    const wishes: Wanted[] = [
      { wish: { series: "kline", ...bars }, sink: bars_sink(this.bars, this.bars_came, this.gaps_came) },
      { wish: { series: "open_bar", ...this.tags }, sink: open_sink(BAR_COLUMNS, this.open_came) },
      { wish: { series: "trade", exchange, symbol, last: 100 }, sink: trades_sink(this.tape, this) },
      { wish: { series: "quote", exchange, symbol }, sink: quote_sink((row) => this.quote_came(row)) },
      { wish: { series: "levels", exchange, symbol, last: 1 }, sink: book_sink(this.book) },
    ];
    if (this.indicators.length > 0) {
      const values_came = () => this.live_values.closed(this.values.last_ms);
      const live_came = (row: number[]) => this.live_values.receive(row, this.values.last_ms);
      wishes.push(
        { wish: { series: "indicator", ...bars, ...columns }, sink: bars_sink(this.values, values_came) },
        {
          wish: { series: "indicator_live", ...this.tags, ...columns },
          sink: open_sink(this.indicators, live_came),
        },
      );
    }
    const { tags, step_ms, bars: shown } = this;
    const now_ms = () => this.stream.server_ms();
    if (step_ms !== null) this.causes = new GapCauses({ tags, step_ms, bars: shown, now_ms }, this);
    this.handle = this.stream.subscribe(wishes);
    const ids = this.handle.ids;
    this.ids = Object.fromEntries(wishes.map(({ wish }, index) => [wish.series, ids[index]]));
  }

  stop(): void {
    this.handle?.close();
    this.causes?.close();
    this.history.close();
  }

  subscription(series: SeriesKind): Subscription | undefined {
    return this.stream.subscription(this.ids[series]);
  }

  open_bars(): readonly number[][] {
    return this.scrolled_back.get() ? [] : this.open.all();
  }

  shape(): string {
    return `${this.bars.shape} ${this.values.shape} ${this.gap_count} ${this.scrolled_back.get()}`;
  }

  wants_older = (): void => {
    void this.history.older(this.bars, this.values).then((grown) => {
      if (grown === null) return;
      if (grown.trimmed) this.scrolled_back.set(true);
      this.repaint();
    });
  };

  /** Forget the window and begin again with the newest bars. */
  back_to_live(): void {
    this.handle?.close();
    this.causes?.close();
    this.bars.clear();
    this.values.clear();
    this.open.clear();
    this.live_values.clear();
    this.scrolled_back.set(false);
    this.start();
    this.repaint();
  }

  private readonly bars_came = (rows: readonly number[][]): readonly number[][] => {
    for (const [, open, high, low, close] of rows.slice(-200)) {
      this.decimals.see(open as number, high as number, low as number, close as number);
    }
    this.open.closed(rows.at(-1)?.[0] ?? null);
    // A window that was scrolled back ends before these; "back to live" asks for them again.
    return this.scrolled_back.get() ? [] : rows;
  };

  readonly gaps_came = (gaps: readonly Gap[]): void => {
    for (const gap of gaps) this.gaps = with_gap(this.gaps, gap);
    this.gap_count += 1;
  };

  private readonly open_came = (row: number[]): void => {
    this.open.receive(row, this.bars.last_ms);
    this.decimals.see(row[4] as number);
  };

  private quote_came(row: QuoteRow): void {
    this.quote = row;
    this.decimals.see(row.bid_price, row.ask_price);
    this.quantity_decimals.see(row.bid_quantity, row.ask_quantity);
  }
}
