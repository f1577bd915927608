import { describe, expect, test, vi } from "vitest";
import { cause_of, GapCauses } from "@/screens/market/gap-causes";
import { Bars } from "@/series/bars";
import type { Gap } from "@/stream/wire";

const COLUMNS = ["time_ms", "expected", "stored", "halted", "lost"];
const tags = { exchange: "binance", symbol: "BTCUSDC", interval: "1s" };

describe("causes of gaps", () => {
  test("a halt is named at once, a loss only when nothing is on its way any more", () => {
    const halted = { columns: COLUMNS, rows: [[0, 60, 50, 10, 0]] };
    const lost = { columns: COLUMNS, rows: [[0, 60, 50, 0, 10]] };
    expect(cause_of(halted, false)).toBe("exchange halted");
    expect(cause_of(lost, false)).toBeNull();
    expect(cause_of(lost, true)).toBe("lost");
  });

  test("what nobody counted was not followed, what is stored has no cause", () => {
    expect(cause_of({ columns: COLUMNS, rows: [] }, true)).toBe("not followed then");
    expect(cause_of({ columns: COLUMNS, rows: [] }, false)).toBeNull();
    expect(cause_of({ columns: COLUMNS, rows: [[0, 60, 60, 0, 0]] }, true)).toBeNull();
  });

  test("the ledger is asked for spans without a cause alone, and not at all where none is missing", async () => {
    const bars = new Bars(["close"]);
    bars.upsert([0, 1000, 2000, 6000, 7000, 9000].map((time_ms) => [time_ms, 1]));
    const told = {
      gaps: [[8000, 9000, "named by the stream"]] as readonly Gap[],
      gaps_came(gaps: readonly Gap[]) {
        this.gaps = [...this.gaps, ...gaps];
      },
    };
    const fetcher = vi.fn(async () => ({ columns: COLUMNS, types: [], rows: [[0, 9, 5, 3, 0]], next: null }));
    const causes = new GapCauses({ tags, step_ms: 1000, bars, now_ms: () => 10_000 }, told, fetcher);
    await causes.ask();
    await causes.ask();
    causes.close();
    expect(fetcher).toHaveBeenCalledTimes(1);
    expect(fetcher).toHaveBeenCalledWith("ledger", { ...tags, stream: "klines", from: 0, to: 6000 });
    expect(told.gaps[1]).toEqual([3000, 6000, "exchange halted"]);
  });
});
