"use client";

import { useCallback, useRef } from "react";
import { useStore } from "@/page/store";
import { DARK, LIGHT } from "@/paint/colors";
import { paint_depth } from "@/paint/depth-curve";
import { paint_heat } from "@/paint/heat-map";
import { paint_spark } from "@/paint/spark";
import { cause_of } from "@/parts/Ladder";
import { usePage } from "@/parts/page-context";
import { usePainter, write } from "@/parts/use-painter";
import { imbalance, middle_of, spread_of } from "@/series/heat";
import type { BookModel } from "./model";

/** The map has a column for each second: it need not be painted more often. */
const HEAT_EVERY_MS = 1000;

export function Canvases({ model }: { model: BookModel }) {
  const { stream, theme } = usePage();
  const colors = useStore(theme) === "dark" ? DARK : LIGHT;
  const place = useRef<HTMLDivElement>(null);
  const heat_ms = useRef(0);
  const version = useRef("");
  const paint = useCallback(() => {
    const canvases = place.current?.querySelectorAll("canvas");
    if (!canvases || place.current === null) return;
    const [depth, heat, spreads, sides] = canvases;
    const now_ms = stream.server_ms();
    const cause = cause_of(model);
    const price = (value: number) => model.decimals.text(value);
    const current = `${model.book.version} ${cause} ${colors.background}`;
    if (current !== version.current) {
      version.current = current;
      const newest = cause === null ? model.book.newest : undefined;
      place.current.dataset.unsynced = String(cause !== null);
      if (depth) paint_depth(depth, newest ?? null, colors, price);
      write_figures(place.current, model, newest === undefined ? cause : null);
    }
    if (now_ms - heat_ms.current < HEAT_EVERY_MS) return;
    heat_ms.current = now_ms;
    const states = model.book.all();
    if (heat) paint_heat(heat, states, now_ms, colors, price);
    if (spreads) paint_spark(spreads, states, now_ms, spread_of, colors, [0, null]);
    if (sides)
      paint_spark(
        sides,
        states,
        now_ms,
        (state) => (state.synced ? imbalance(state) : null),
        colors,
        [-1, 1],
      );
  }, [model, stream, colors]);
  usePainter(paint);
  return (
    <div className="canvases" ref={place}>
      <dl className="quote card">
        {["middle", "spread", "spread, bps", "imbalance"].map((name) => (
          <div key={name} data-field={name}>
            <dt>{name}</dt>
            <dd>–</dd>
          </div>
        ))}
      </dl>
      <Figure title="Depth" label="Quantity added up from the best price, bids left, asks right" />
      <Figure
        title="Last ten minutes"
        label="Heat map of the book: time to the right, price upwards, quantity as brightness"
      />
      <div className="sparks">
        <Figure title="Spread" label="Spread in the last ten minutes" />
        <Figure title="Imbalance (bids 1, asks −1)" label="Imbalance in the last ten minutes" />
      </div>
    </div>
  );
}

function Figure({ title, label }: { title: string; label: string }) {
  return (
    <section className="card figure">
      <h2>{title}</h2>
      <canvas role="img" aria-label={label} />
    </section>
  );
}

function write_figures(place: Element, model: BookModel, cause: string | null): void {
  const state = cause === null ? model.book.newest : undefined;
  const [middle, spread, side] = state
    ? [middle_of(state), spread_of(state), imbalance(state)]
    : [null, null, null];
  const texts = [
    middle === null ? "–" : middle.toFixed(model.decimals.count + 1),
    spread === null ? "–" : model.decimals.text(spread),
    spread === null || middle === null ? "–" : ((spread / middle) * 10_000).toFixed(3),
    side === null ? "–" : side.toFixed(3),
  ];
  for (const [index, cell] of place.querySelectorAll("dl dd").entries()) write(cell, texts[index] ?? "");
}
