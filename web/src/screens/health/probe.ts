/** Follows the trades and the open bar of the first instrument, so that ages can be measured. */

import type { Instrument } from "@/api/types";
import type { Store } from "@/page/store";
import type { Handle, StreamClient } from "@/stream/client";

const NOTHING = { subscribed: () => {}, rows: () => {}, restart: () => {} };

export class Probe {
  private handle: Handle | null = null;
  private unfollow = () => {};

  constructor(
    private readonly stream: StreamClient,
    private readonly instruments: Store<readonly Instrument[]>,
  ) {}

  start(): void {
    this.follow();
    this.unfollow = this.instruments.subscribe(() => this.follow());
  }

  stop(): void {
    this.unfollow();
    this.handle?.close();
    this.handle = null;
  }

  private follow(): void {
    const [first] = this.instruments.get();
    if (first === undefined || this.handle !== null) return;
    const { exchange, symbol } = first;
    this.handle = this.stream.subscribe(
      (["trade", "quote"] as const).map((series) => ({
        wish: { series, exchange, symbol, last: 1 },
        sink: NOTHING,
      })),
    );
  }
}
