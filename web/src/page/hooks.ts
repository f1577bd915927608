/** `window.cryptostream`: what browser tests and curious people may read. */

import type { MarketChart } from "@/paint/chart";
import type { MarketModel } from "@/screens/market/model";
import { page } from "./page";

interface Offered {
  model?: MarketModel;
  chart?: MarketChart;
}

let offered: Offered = {};

/** Make something readable until the given function is called. */
export function offer(parts: Offered): () => void {
  offered = { ...offered, ...parts };
  return () => {
    for (const [name, part] of Object.entries(parts)) {
      if (offered[name as keyof Offered] === part) delete offered[name as keyof Offered];
    }
  };
}

function rows(series: string): { columns: string[]; rows: (number | null)[][] } | null {
  const { model } = offered;
  const bars = series === "kline" ? model?.bars : series === "indicator" ? model?.values : undefined;
  if (bars === undefined) return null;
  const found = Array.from({ length: bars.length }, (_, index) =>
    bars.row(index).map((value) => (Number.isFinite(value) ? value : null)),
  );
  return { columns: ["time_ms", ...bars.columns], rows: found };
}

function stats() {
  const { stream } = page();
  const { core } = stream;
  const { latency, clock } = core;
  return {
    connection: stream.connection.get(),
    frames: core.frames,
    reconnects: stream.reconnects,
    unreadable: core.unreadable,
    last_frame_ms: core.last_frame_ms,
    clock_offset_ms: clock.offset_ms,
    round_trip_ms: clock.round_trip_ms,
    exchange_to_pixel_ms: latency.total.quantiles(),
    exchange_to_server_ms: latency.to_server.quantiles(),
    server_to_page_ms: latency.to_page.quantiles(),
    chart_update_ms: page().loop.chart_ms.quantiles(),
    rest_update_ms: page().loop.rest_ms.quantiles(),
    page_to_pixel_ms: latency.to_screen.quantiles(),
    subscriptions: [...core.subscriptions.values()].map(({ sink: _, ...each }) => each),
    gaps: offered.model?.gaps ?? [],
    open_bar: offered.model?.open_bars().at(-1) ?? null,
    scrolled_back: offered.model?.scrolled_back.get() ?? null,
    history: offered.model?.history.state.get() ?? null,
  };
}

export function install(): void {
  const hooks = {
    stats,
    rows,
    /** Within the chart's own element, `[data-chart]`, in CSS pixels. */
    priceToCoordinate: (price: number) => offered.chart?.candles.priceToCoordinate(price) ?? null,
    timeToCoordinate: (time_ms: number) => offered.chart?.coordinate_of(time_ms) ?? null,
    barSpacing: () => offered.chart?.chart.timeScale().options().barSpacing ?? null,
    get colors() {
      return { ...offered.chart?.colors };
    },
  };
  Object.defineProperty(window, "cryptostream", {
    value: Object.freeze(hooks),
    writable: false,
    configurable: true,
  });
}
