"use client";

import { useCallback, useRef } from "react";
import { useStore } from "@/page/store";
import { DARK, LIGHT } from "@/paint/colors";
import { label_of } from "@/paint/indicator-places";
import { usePage } from "@/parts/page-context";
import { usePainter, write } from "@/parts/use-painter";
import type { MarketModel } from "./model";

/** The chosen indicators with their colours and newest values; those of an open bar are provisional. */
export function Legend({ model }: { model: MarketModel }) {
  const { theme } = usePage();
  const { lines } = useStore(theme) === "dark" ? DARK : LIGHT;
  const place = useRef<HTMLUListElement>(null);
  const paint = useCallback(() => {
    const { values } = model;
    const newest =
      model.live_values.newest ?? (values.length > 0 ? values.row(values.length - 1) : undefined);
    const cells = place.current?.querySelectorAll("output") ?? [];
    for (const [index, cell] of cells.entries()) {
      const value = newest?.[index + 1] ?? Number.NaN;
      write(cell, Number.isFinite(value) ? value.toFixed(Math.abs(value) >= 100 ? 2 : 4) : "–");
    }
  }, [model]);
  usePainter(paint);
  return (
    <ul className="legend" ref={place} aria-label="Indicators">
      {model.indicators.map((column, index) => (
        <li key={column} title={column}>
          <svg width="10" height="10" aria-hidden="true">
            <circle cx="5" cy="5" r="4" fill={lines[index % lines.length]} />
          </svg>
          {label_of(column)} <output>–</output>
        </li>
      ))}
    </ul>
  );
}
