"use client";

import { useEffect, useMemo, useRef, useState } from "react";
import type { Instrument } from "@/api/types";
import { utc } from "@/page/figures";
import { compared_first, label_of, side_by_side } from "@/page/pairs";
import { useStore } from "@/page/store";
import { intervals_of } from "@/page/view";
import { DARK, LIGHT } from "@/paint/colors";
import { CompareChart } from "@/paint/compare-chart";
import { usePage } from "@/parts/page-context";
import { Starting } from "@/parts/Starting";
import { useKeys } from "@/parts/use-keys";
import { useTick } from "@/parts/use-tick";
import { CompareModel } from "./model";

const MOST = 8;

const name_of = ({ exchange, symbol }: Instrument) => `${exchange}:${symbol}`;

export function CompareScreen() {
  const page = usePage();
  const view = useStore(page.view);
  const instruments = useStore(page.instruments);
  const known = side_by_side(instruments).map(name_of);
  const intervals = useMemo(() => intervals_of(instruments), [instruments]);
  const first = compared_first(instruments, view, MOST).map(name_of);
  const names = (view.compare.length > 0 ? view.compare : first).slice(0, MOST);
  const keys = useMemo(
    () =>
      Object.fromEntries(
        intervals.slice(0, 9).map((name, index) => [String(index + 1), () => page.show({ interval: name })]),
      ),
    [page, intervals],
  );
  useKeys(keys);
  const toggle = (name: string) => {
    const others = names.filter((each) => each !== name);
    const chosen = others.length < names.length ? others : [...names, name].slice(-MOST);
    if (chosen.length > 0) page.show({ compare: chosen });
  };
  if (names.length === 0) return <Starting />;
  return (
    <section className="card chart-card compare" aria-label="Instruments on one scale">
      <div className="toolbar">
        <fieldset className="segments">
          <legend className="unseen">Interval</legend>
          {intervals.map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={name === view.interval}
              onClick={() => page.show({ interval: name })}
            >
              {name}
            </button>
          ))}
        </fieldset>
        <fieldset className="segments">
          <legend className="unseen">Instruments</legend>
          {[...new Set([...known, ...names])].map((name) => (
            <button key={name} type="button" aria-pressed={names.includes(name)} onClick={() => toggle(name)}>
              {label_of(name, instruments)}
            </button>
          ))}
        </fieldset>
      </div>
      <Lines
        key={`${names.join()} ${view.interval}`}
        names={names}
        interval={view.interval}
        instruments={instruments}
      />
    </section>
  );
}

function Lines({
  names,
  interval,
  instruments,
}: {
  names: readonly string[];
  interval: string;
  instruments: readonly Instrument[];
}) {
  const { stream, loop, theme } = usePage();
  const colors = useStore(theme) === "dark" ? DARK : LIGHT;
  const place = useRef<HTMLElement>(null);
  const [chart, set_chart] = useState<CompareChart | null>(null);
  const listed = names.join();
  const model = useMemo(
    () => new CompareModel(stream, listed.split(","), interval),
    [stream, listed, interval],
  );
  useEffect(() => {
    model.start();
    return () => model.stop();
  }, [model]);
  useEffect(() => {
    if (place.current === null) return;
    const made = new CompareChart(place.current, model, colors);
    const remove = loop.add_chart(() => made.paint());
    set_chart(made);
    loop.request();
    return () => {
      remove();
      made.remove();
    };
  }, [model, loop, colors]);
  return (
    <>
      <Standings names={names} chart={chart} lines={colors.lines} instruments={instruments} />
      <div className="chart-area">
        <section
          ref={place}
          className="chart"
          aria-label="Per cent since the first bar that all instruments have"
        />
      </div>
    </>
  );
}

function Standings({
  names,
  chart,
  lines,
  instruments,
}: {
  names: readonly string[];
  chart: CompareChart | null;
  lines: readonly string[];
  instruments: readonly Instrument[];
}) {
  useTick();
  return (
    <dl className="quote standings">
      {names.map((name, index) => {
        const value = chart?.newest.get(name);
        return (
          <div key={name}>
            <dt>
              <svg width="10" height="10" aria-hidden="true">
                <circle cx="5" cy="5" r="4" fill={lines[index % lines.length]} />
              </svg>{" "}
              {label_of(name, instruments)}
            </dt>
            <dd>{value === undefined ? "–" : `${value > 0 ? "+" : ""}${value.toFixed(2)} %`}</dd>
          </div>
        );
      })}
      <div>
        <dt>since</dt>
        <dd>{chart?.start_ms == null ? "–" : `${utc(chart.start_ms)} UTC`}</dd>
      </div>
    </dl>
  );
}
