"use client";

import { useStore } from "@/page/store";
import { meant, split_instrument } from "@/page/view";
import { usePage } from "./page-context";

export function SymbolPicker() {
  const page = usePage();
  const view = useStore(page.view);
  const known = useStore(page.instruments);
  const current = view.symbol === null ? "" : `${view.exchange ?? ""}:${view.symbol}`;
  const names = known.map(({ exchange, symbol }) => `${exchange}:${symbol}`);
  const all = names.includes(current) || current === "" ? names : [current, ...names];
  const shown = meant(view, known);
  return (
    <>
      <label className="picker">
        <span className="unseen">Symbol</span>
        <select
          id="symbol"
          value={current}
          onChange={(event) => {
            const [exchange, symbol] = split_instrument(event.target.value);
            page.show({ exchange, symbol });
            event.target.blur();
          }}
        >
          {current === "" && <option value="">choose a symbol</option>}
          {all.map((name) => (
            <option key={name} value={name}>
              {label_of(name)}
            </option>
          ))}
        </select>
      </label>
      {shown?.stands_in != null && (
        <p className="stands-in" role="note">
          not {shown.exchange}’s own prices: {shown.stands_in}
        </p>
      )}
    </>
  );
}

function label_of(name: string): string {
  const [exchange, symbol] = split_instrument(name);
  return exchange === null ? (symbol ?? "") : `${symbol} · ${exchange}`;
}
