/** The book of one instrument, and its last ten minutes. */

import { HEAT_SECONDS } from "@/paint/heat-map";
import { Decimals } from "@/series/decimals";
import { BookHistory } from "@/series/heat";
import type { Handle, StreamClient } from "@/stream/client";
import type { Subscription } from "@/stream/subscription";
import { book_sink } from "../market/sinks";

export class BookModel {
  readonly book = new BookHistory(HEAT_SECONDS);
  readonly decimals = new Decimals();
  readonly quantity_decimals = new Decimals();
  private handle: Handle | null = null;

  constructor(
    private readonly stream: StreamClient,
    readonly exchange: string,
    readonly symbol: string,
  ) {}

  start(): void {
    const { exchange, symbol } = this;
    this.handle = this.stream.subscribe([
      { wish: { series: "levels", exchange, symbol, last: HEAT_SECONDS }, sink: book_sink(this.book) },
    ]);
  }

  stop(): void {
    this.handle?.close();
  }

  subscription(_series: "levels"): Subscription | undefined {
    return this.stream.subscription(this.handle?.ids[0]);
  }
}
