"use client";

import { useCallback, useRef } from "react";
import type { Decimals } from "@/series/decimals";
import type { BookHistory } from "@/series/heat";
import type { Level } from "@/stream/wire";
import { usePainter, write } from "./use-painter";

export interface LadderSource {
  readonly book: BookHistory;
  readonly decimals: Decimals;
  readonly quantity_decimals: Decimals;
  subscription(series: "levels"): { state: string | null; cause: string } | undefined;
}

/** Asks above bids, best ones in the middle. A book that is out of step shows no figures, but why. */
export function Ladder({ model, depth }: { model: LadderSource; depth: number }) {
  const place = useRef<HTMLElement>(null);
  const painted = useRef("");
  const paint = useCallback(() => {
    if (place.current === null) return;
    const cause = cause_of(model);
    const version = `${model.book.version} ${cause}`;
    if (version === painted.current) return;
    painted.current = version;
    place.current.dataset.unsynced = String(cause !== null);
    write(place.current.querySelector(".note"), cause ?? "");
    const { bids = [], asks = [] } = (cause === null ? model.book.newest : undefined) ?? {};
    const most = Math.max(
      1e-12,
      ...[...bids.slice(0, depth), ...asks.slice(0, depth)].map(([, quantity]) => quantity),
    );
    const rows = place.current.querySelectorAll<HTMLTableRowElement>("tbody tr");
    for (let index = 0; index < depth; index++) {
      level(rows[depth - 1 - index], asks[index], most, model);
      level(rows[depth + 1 + index], bids[index], most, model);
    }
    const [bid, ask] = [bids[0], asks[0]];
    write(rows[depth]?.cells[0], bid && ask ? `spread ${model.decimals.text(ask[0] - bid[0])}` : "–");
  }, [model, depth]);
  usePainter(paint);
  return (
    <section className="card ladder" ref={place} aria-label="Order book">
      <h2>Book</h2>
      <p className="note" role="status" />
      <table>
        <thead>
          <tr>
            <th scope="col">Price</th>
            <th scope="col">Quantity</th>
          </tr>
        </thead>
        <tbody>
          {Array.from({ length: 2 * depth + 1 }, (_, index) =>
            index === depth ? (
              <tr key={index} className="middle">
                <td colSpan={2}>–</td>
              </tr>
            ) : (
              <tr key={index} data-side={index < depth ? "sell" : "buy"}>
                <td />
                <td />
              </tr>
            ),
          )}
        </tbody>
      </table>
    </section>
  );
}

/** Why the book is not to be trusted; null if it is. */
export function cause_of(model: LadderSource): string | null {
  const told = model.subscription("levels");
  const newest = model.book.newest;
  if (told?.state === "unsynced") return `Out of step: ${told.cause || "waiting for a snapshot"}`;
  if (newest !== undefined && !newest.synced) return "Out of step with the exchange: waiting for a snapshot";
  return newest === undefined ? "Waiting for the first book …" : null;
}

function level(
  row: HTMLTableRowElement | undefined,
  found: Level | undefined,
  most: number,
  model: LadderSource,
): void {
  if (row === undefined) return;
  if (found !== undefined) {
    model.decimals.see(found[0]);
    model.quantity_decimals.see(found[1]);
  }
  write(row.cells[0], found === undefined ? "" : model.decimals.text(found[0]));
  write(row.cells[1], found === undefined ? "" : model.quantity_decimals.text(found[1]));
  row.style.setProperty("--share", String(found === undefined ? 0 : found[1] / most));
}
