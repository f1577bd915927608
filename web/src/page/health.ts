/** Figures of the whole system that every screen shows: lost ids, lag, state of the services. */

import { get } from "@/api/http";
import type { Ledger } from "@/api/types";
import { Latest, type Named } from "@/series/latest";
import type { StreamClient } from "@/stream/client";
import type { Sink } from "@/stream/subscription";
import { Store } from "./store";

const LEDGER_EVERY_MS = 30_000;
/** A service reports each 10 s. */
export const SILENT_AFTER_MS = 35_000;

export class HealthModel {
  readonly services = new Latest(["service", "instance"]);
  readonly freshness = new Latest(["exchange", "stream", "hop", "instance"]);
  readonly carriage = new Latest(["exchange", "symbol", "stream"]);
  readonly ledger = new Store<Ledger | null>(null);
  /** Why the ledger is not known. */
  readonly ledger_problem = new Store<string | null>(null);
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly stream: StreamClient) {}

  start(): void {
    this.stream.subscribe([
      { wish: { series: "service" }, sink: latest_sink(this.services) },
      { wish: { series: "freshness" }, sink: latest_sink(this.freshness) },
      { wish: { series: "carriage" }, sink: latest_sink(this.carriage) },
    ]);
    void this.ask();
    this.timer = setInterval(() => {
      if (!document.hidden) void this.ask();
    }, LEDGER_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  async ask(): Promise<void> {
    try {
      this.ledger.set(await get<Ledger>("ledger"));
      this.ledger_problem.set(null);
    } catch (error) {
      // What was known is of another time now.
      this.ledger.set(null);
      this.ledger_problem.set(error instanceof Error ? error.message : String(error));
    }
  }

  /** The largest lag of the services that report one, s; null if none does. */
  lag_s(): number | null {
    const lags = this.services
      .rows()
      .map((row) => row.lag_seconds)
      .filter((each) => typeof each === "number");
    return lags.length > 0 ? Math.max(...lags) : null;
  }

  rows_of(latest: "services" | "freshness" | "carriage"): Named[] {
    return this[latest].rows();
  }
}

/** Whether all producers report: they name a stream that is not carried, and say nothing of those that are. */
export function producers_report(services: readonly Named[], now_ms: number): boolean {
  const producers = services.filter(({ service }) => String(service).startsWith("producer"));
  const reports = ({ time_ms, up }: Named) => up === true && now_ms - Number(time_ms) <= SILENT_AFTER_MS;
  return producers.length > 0 && producers.every(reports);
}

export function latest_sink(latest: Latest): Sink {
  let names: readonly string[] = [];
  return {
    subscribed: (columns) => {
      names = columns;
    },
    rows: (rows) => latest.upsert(names, rows),
    restart: () => latest.clear(),
  };
}
