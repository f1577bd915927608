"use client";

import { useCallback, useRef } from "react";
import { count, utc_clock } from "@/page/figures";
import { Scrolls } from "@/parts/Scrolls";
import type { MarketModel } from "@/screens/market/model";
import { usePainter, write } from "./use-painter";

const ROWS = 40;

/** The newest trades. Rows are there once and for all; only their texts change. */
export function Tape({ model }: { model: MarketModel }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const skipped = useRef<HTMLParagraphElement>(null);
  const painted = useRef(-1);
  const paint = useCallback(() => {
    if (body.current === null || painted.current === model.tape.version) return;
    painted.current = model.tape.version;
    for (let index = 0; index < ROWS; index++) {
      const row = body.current.rows[index];
      const trade = model.tape.newest(index);
      if (row === undefined) continue;
      row.dataset.side = trade === undefined ? "" : trade.buyer_is_maker ? "sell" : "buy";
      write(row.cells[0], trade === undefined ? "" : utc_clock(trade.time_ms));
      write(row.cells[1], trade === undefined ? "" : model.decimals.text(trade.price));
      write(row.cells[2], trade === undefined ? "" : model.quantity_decimals.text(trade.quantity));
    }
    const left_out = model.subscription("trade")?.skipped ?? 0;
    write(
      skipped.current,
      left_out > 0 ? `${count(left_out)} trades were not shown: they came faster than they are painted` : "",
    );
  }, [model]);
  usePainter(paint);
  return (
    <section className="card tape" aria-label="Trades">
      <h2>Trades</h2>
      <p className="note" ref={skipped} />
      <Scrolls label="Newest trades">
        <table>
          <thead>
            <tr>
              <th scope="col">UTC</th>
              <th scope="col">Price</th>
              <th scope="col">Quantity</th>
            </tr>
          </thead>
          <tbody ref={body}>
            {Array.from({ length: ROWS }, (_, index) => (
              <tr key={index}>
                <td />
                <td />
                <td />
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolls>
    </section>
  );
}
