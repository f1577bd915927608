/** Why bars are missing, as the ledger knows it: asked for spans whose cause the stream has not named. */

import { rows as fetch_rows } from "@/api/http";
import type { Rows } from "@/api/types";
import type { Bars } from "@/series/bars";
import { cause_at, missing } from "@/series/gaps";
import type { Gap } from "@/stream/wire";
import type { BarTags } from "./history";

/** The ledger counts by minutes, and by whole bars of longer intervals. */
const PERIOD_MS = 60_000;
const MOST_AT_ONCE = 10;
const AGAIN_MS = 5_000;

/** Ids in flight count as lost: what is newer than this is not yet known. */
const SETTLED_MS = 120_000;

interface Shown {
  tags: BarTags;
  step_ms: number;
  bars: Bars;
  /** The server's clock. */
  now_ms: () => number;
}

interface Told {
  readonly gaps: readonly Gap[];
  gaps_came(gaps: readonly Gap[]): void;
}

export class GapCauses {
  private readonly timer: ReturnType<typeof setInterval>;
  private asking = false;

  constructor(
    private readonly shown: Shown,
    private readonly told: Told,
    private readonly fetcher: typeof fetch_rows = fetch_rows,
  ) {
    this.timer = setInterval(() => void this.ask(), AGAIN_MS);
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** Ask for the newest spans without a cause; those that the ledger cannot explain yet are asked for again. */
  async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    const { tags, step_ms, bars, now_ms } = this.shown;
    const times = Array.from({ length: bars.length }, (_, index) => bars.time(index));
    const unexplained = missing(times, step_ms).filter(
      ([from_ms, to_ms]) => cause_at(this.told.gaps, from_ms, to_ms) === null,
    );
    try {
      for (const [from_ms, to_ms] of unexplained.slice(-MOST_AT_ONCE)) {
        const period_ms = Math.max(PERIOD_MS, step_ms);
        const answer = await this.fetcher("ledger", {
          ...{ ...tags, stream: "klines" },
          from: Math.floor(from_ms / period_ms) * period_ms,
          to: to_ms,
        });
        const cause = cause_of(answer, to_ms < now_ms() - SETTLED_MS);
        if (cause !== null) this.told.gaps_came([[from_ms, to_ms, cause]]);
      }
    } catch {
      // The store is away: asked again, and until then no cause is claimed.
    } finally {
      this.asking = false;
    }
  }
}

/**
 * What the ledger's rows of a span say of missing bars; null if nothing yet.
 *
 * @param settled the span is so old that what is not stored is not on its way any more.
 */
export function cause_of({ columns, rows }: Pick<Rows, "columns" | "rows">, settled: boolean): string | null {
  const sum = (name: string) => {
    const at = columns.indexOf(name);
    return rows.reduce((total, row) => total + Number(row[at] ?? 0), 0);
  };
  if (sum("halted") > 0) return "exchange halted";
  if (!settled) return null;
  if (sum("lost") > 0) return "lost";
  return rows.length === 0 ? "not followed then" : null;
}
