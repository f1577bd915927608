/** Older bars by HTTP, page by page. */

import { Problem, rows } from "@/api/http";
import { Store } from "@/page/store";
import type { Bars } from "@/series/bars";
import { RowReader } from "@/series/reader";

export const PAGE_BARS = 1500;
/** Nothing older may be stored only yet: consumers that catch up, and repairs, store older bars later. */
export const END_HOLDS_MS = 10_000;

export type HistoryState =
  | { name: "idle" }
  | { name: "loading" }
  /** Nothing older was stored when that was last asked. */
  | { name: "end" }
  | { name: "away"; detail: string };

export interface BarTags {
  exchange: string;
  symbol: string;
  interval: string;
}

type Fetch = typeof rows;

export class History {
  readonly state = new Store<HistoryState>({ name: "idle" });
  private retry: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private asking = false;
  private end_until_ms = 0;

  constructor(
    private readonly tags: BarTags,
    private readonly fetch_rows: Fetch = rows,
  ) {}

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
  }

  /**
   * Bars before the first of `bars`, and values of the same times. True if the window grew; `trimmed` says whether
   * newest bars went for it.
   */
  async older(bars: Bars, values: Bars): Promise<{ trimmed: boolean } | null> {
    const to = bars.first_ms;
    const { name } = this.state.get();
    if (to === null || this.asking || name === "away") return null;
    if (name === "end" && performance.now() < this.end_until_ms) return null;
    this.asking = true;
    // An end that is looked at again is not told as a load: nothing would come of most.
    if (name === "idle") this.state.set({ name: "loading" });
    try {
      const [older, computed] = await Promise.all([
        this.page("kline", bars, to),
        this.page("indicator", values, to),
      ]);
      if (this.closed) return null;
      const page = older.filter(([time_ms]) => (time_ms as number) < to);
      if (page.length === 0) this.end_until_ms = performance.now() + END_HOLDS_MS;
      this.state.set({ name: page.length === 0 ? "end" : "idle" });
      if (page.length === 0) return null;
      const trimmed = bars.upsert_older(page);
      values.upsert_older(computed);
      return { trimmed };
    } catch (error) {
      if (!this.closed) this.failed(error);
      return null;
    } finally {
      this.asking = false;
    }
  }

  private async page(measurement: string, into: Bars, to: number): Promise<number[][]> {
    if (into.columns.length === 0) return [];
    const answer = await this.fetch_rows(measurement, {
      ...this.tags,
      columns: into.columns.join(),
      to,
      last: PAGE_BARS,
    });
    return new RowReader(answer.columns, into.columns).read(answer.rows);
  }

  private failed(error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error);
    this.state.set({ name: "away", detail });
    const wait_s = (error instanceof Problem ? error.retry_after_s : null) ?? 5;
    this.retry = setTimeout(() => this.state.set({ name: "idle" }), wait_s * 1000);
  }
}
