"use client";

import { useEffect, useRef } from "react";
import { offer } from "@/page/hooks";
import { useStore } from "@/page/store";
import { MarketChart } from "@/paint/chart";
import type { ChartPosition } from "@/paint/chart-source";
import { DARK, LIGHT } from "@/paint/colors";
import { usePage } from "@/parts/page-context";
import { useTick } from "@/parts/use-tick";
import { Legend } from "./Legend";
import type { MarketModel } from "./model";

export function ChartView({ model }: { model: MarketModel }) {
  const { loop, theme } = usePage();
  const place = useRef<HTMLElement>(null);
  const chart = useRef<MarketChart | null>(null);
  const kept = useRef<{ of: string; position: ChartPosition } | null>(null);
  useEffect(() => {
    if (place.current === null) return;
    // Another indicator is another model: the same bars stay in view.
    const of = Object.values(model.tags).join();
    const position = kept.current?.of === of ? kept.current.position : null;
    const made = new MarketChart(place.current, model, theme.get() === "dark" ? DARK : LIGHT, position);
    chart.current = made;
    const stop_painting = loop.add_chart(() => made.paint());
    const withdraw = offer({ chart: made });
    loop.request();
    return () => {
      kept.current = { of, position: made.position() };
      withdraw();
      stop_painting();
      made.remove();
      chart.current = null;
    };
  }, [model, loop, theme]);
  const colors = useStore(theme);
  useEffect(() => chart.current?.theme(colors === "dark" ? DARK : LIGHT), [colors]);
  return (
    <div className="chart-area">
      <section
        ref={place}
        className="chart"
        data-chart=""
        aria-label="Price chart; press t for a table of the same rows"
      />
      <Legend model={model} />
      <HistoryNotice model={model} />
      <BackToLive model={model} follow={() => chart.current?.follow()} />
    </div>
  );
}

/** Over the chart's older end only: what is live goes on. */
function HistoryNotice({ model }: { model: MarketModel }) {
  const state = useStore(model.history.state);
  useTick(500);
  const told = model.subscription("kline");
  if (model.bars.length === 0 && told?.error == null) {
    const what = told?.cause ? `Waiting for bars: ${told.cause}` : "Waiting for bars …";
    return <p className="history-notice">{what}</p>;
  }
  if (state.name === "loading") return <p className="history-notice">Loading older bars …</p>;
  if (state.name !== "away") return null;
  return (
    <p className="history-notice" data-tone="doubt" role="status" title={state.detail}>
      History is away. Live data goes on.
    </p>
  );
}

function BackToLive({ model, follow }: { model: MarketModel; follow: () => void }) {
  const back = useStore(model.scrolled_back);
  if (!back) return null;
  const jump = () => {
    model.back_to_live();
    follow();
  };
  return (
    <button type="button" className="back-to-live" onClick={jump}>
      Back to live →
    </button>
  );
}
