/** Closes of several instruments. */

import { split_instrument } from "@/page/view";
import { Bars } from "@/series/bars";
import type { Closes } from "@/series/compare";
import { interval_ms } from "@/series/interval";
import { Provisional } from "@/series/provisional";
import type { Handle, StreamClient } from "@/stream/client";
import type { Wanted } from "@/stream/subscription";
import { bars_sink, open_sink } from "../market/sinks";

const BARS = 500;

interface Line {
  name: string;
  bars: Bars;
  open: Provisional;
}

export class CompareModel {
  readonly lines: readonly Line[];
  readonly step_ms: number | null;
  private handle: Handle | null = null;

  constructor(
    private readonly stream: StreamClient,
    readonly names: readonly string[],
    readonly interval: string,
  ) {
    this.step_ms = interval_ms(interval);
    this.lines = names.map((name) => ({ name, bars: new Bars(["close"], BARS), open: new Provisional() }));
  }

  start(): void {
    const wishes = this.lines.flatMap(({ name, bars, open }): Wanted[] => {
      const [exchange, symbol] = split_instrument(name);
      const of = {
        exchange: exchange ?? "",
        symbol: symbol ?? "",
        interval: this.interval,
        columns: ["close"],
      };
      return [
        {
          wish: { series: "kline", ...of, last: BARS },
          sink: bars_sink(bars, (rows) => open.closed(rows.at(-1)?.[0] ?? null)),
        },
        {
          wish: { series: "open_bar", ...of },
          sink: open_sink(["close"], (row) => open.receive(row, bars.last_ms)),
        },
      ];
    });
    this.handle = this.stream.subscribe(wishes);
  }

  stop(): void {
    this.handle?.close();
  }

  closes(): Closes[] {
    return this.lines.map(({ name, bars, open }) => {
      const rows = [...Array.from({ length: bars.length }, (_, index) => bars.row(index)), ...open.all()];
      return {
        name,
        times: rows.map((row) => row[0] as number),
        closes: rows.map((row) => row[1] as number),
      };
    });
  }

  /** Changes when a bar has closed or a series began anew. */
  shape(): string {
    return this.lines.map(({ bars, open }) => `${bars.shape} ${bars.last_ms} ${open.newest?.[0]}`).join();
  }
}
