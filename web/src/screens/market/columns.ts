/** Names of all indicators that the API computes: asked of the stream, which has them when the store is dead. */

import { Store } from "@/page/store";
import type { Handle, StreamClient } from "@/stream/client";
import type { BarTags } from "./history";

export class ColumnsLookup {
  readonly names = new Store<readonly string[]>([]);
  private handle: Handle | null = null;

  constructor(
    private readonly stream: StreamClient,
    private readonly tags: BarTags,
  ) {}

  start(): void {
    const sink = {
      subscribed: (columns: readonly string[]) => {
        this.names.set(columns.slice(1));
        this.stop(); // only the names are wanted
      },
      rows: () => {},
      restart: () => {},
    };
    this.handle = this.stream.subscribe([{ wish: { series: "indicator", ...this.tags, last: 0 }, sink }]);
  }

  stop(): void {
    this.handle?.close();
    this.handle = null;
  }
}
