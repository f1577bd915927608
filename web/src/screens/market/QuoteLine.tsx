"use client";

import { useCallback, useRef } from "react";
import { milliseconds, short } from "@/page/figures";
import { usePage } from "@/parts/page-context";
import { usePainter, write } from "@/parts/use-painter";
import type { MarketModel } from "./model";

const FIELDS = ["last", "bid", "ask", "spread", "open", "high", "low", "vol", "age"] as const;

/** The newest trade and quote, and the open bar: written past React at each refresh. */
export function QuoteLine({ model }: { model: MarketModel }) {
  const { stream } = usePage();
  const place = useRef<HTMLDListElement>(null);
  const last_price = useRef(Number.NaN);
  const paint = useCallback(() => {
    const cells = place.current?.querySelectorAll("dd");
    if (cells === undefined) return;
    const price = (value: number | undefined) => model.decimals.text(value ?? Number.NaN);
    const trade = model.tape.newest(0);
    const { quote } = model;
    const bar =
      model.open.newest ?? (model.bars.length > 0 ? model.bars.row(model.bars.length - 1) : undefined);
    const newest_ms = Math.max(
      0,
      ...(["trade", "quote", "open_bar"] as const).map((name) => model.subscription(name)?.newest_ms ?? 0),
    );
    const texts = [
      price(trade?.price ?? bar?.[4]),
      price(quote?.bid_price),
      price(quote?.ask_price),
      price(quote ? quote.ask_price - quote.bid_price : undefined),
      price(bar?.[1]),
      price(bar?.[2]),
      price(bar?.[3]),
      short(bar?.[5] ?? Number.NaN),
      newest_ms > 0 ? milliseconds(Math.max(0, stream.server_ms() - newest_ms)) : "–",
    ];
    for (const [index, text] of texts.entries()) write(cells[index], text);
    const now = trade?.price ?? Number.NaN;
    if (now !== last_price.current && cells[0]) {
      if (!Number.isNaN(last_price.current)) cells[0].dataset.way = now > last_price.current ? "up" : "down";
      last_price.current = now;
    }
  }, [model, stream]);
  usePainter(paint);
  return (
    <dl className="quote" ref={place} aria-label="Newest trade, quote and open bar">
      {FIELDS.map((name) => (
        <div key={name} data-field={name}>
          <dt>{name}</dt>
          <dd>–</dd>
        </div>
      ))}
    </dl>
  );
}
