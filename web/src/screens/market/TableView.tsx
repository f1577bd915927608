"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { utc } from "@/page/figures";
import { usePage } from "@/parts/page-context";
import { Scrolls } from "@/parts/Scrolls";
import { BAR_COLUMNS, type MarketModel } from "./model";

const PAGE_ROWS = 100;

/** The rows of the chart as the API gives them, newest first: values unrounded, so that they can be compared. */
export function TableView({ model }: { model: MarketModel }) {
  const { loop } = usePage();
  const [, render] = useState(0);
  const [shown, set_shown] = useState(PAGE_ROWS);
  const painted = useRef("");
  const changed = useCallback(() => {
    const version = `${model.shape()} ${model.bars.last_ms} ${model.values.last_ms} ${model.bars.length}`;
    if (version === painted.current) return;
    painted.current = version;
    render((last) => last + 1);
  }, [model]);
  useEffect(() => {
    const remove = loop.add(changed);
    changed();
    return () => {
      remove();
    };
  }, [loop, changed]);
  const { bars, values } = model;
  const rows = Array.from({ length: Math.min(shown, bars.length) }, (_, index) => bars.length - 1 - index);
  return (
    <Scrolls label="Rows" className="table-view">
      <table data-table="rows">
        <caption className="unseen">Closed bars and their indicators, newest first</caption>
        <thead>
          <tr>
            <th scope="col">open time (UTC)</th>
            {[...BAR_COLUMNS, ...model.indicators].map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((at) => {
            const time_ms = bars.time(at);
            const value_at = values.index_of(time_ms);
            return (
              <tr key={time_ms} data-time-ms={time_ms}>
                <th scope="row">{utc(time_ms)}</th>
                {BAR_COLUMNS.map((name, column) => (
                  <td key={name}>{plain(bars.value(column, at))}</td>
                ))}
                {model.indicators.map((name, column) => (
                  <td key={name}>{value_at < 0 ? "" : plain(values.value(column, value_at))}</td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {shown < bars.length && (
        <button type="button" onClick={() => set_shown(shown + 400)}>
          Show more of {bars.length.toLocaleString("en")} rows
        </button>
      )}
    </Scrolls>
  );
}

function plain(value: number): string {
  return Number.isFinite(value) ? String(value) : "";
}
