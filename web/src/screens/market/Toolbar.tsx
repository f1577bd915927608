"use client";

import { useMemo } from "react";
import { useStore } from "@/page/store";
import { intervals_of } from "@/page/view";
import { Icon } from "@/parts/Icon";
import { usePage } from "@/parts/page-context";
import { useKeys } from "@/parts/use-keys";
import type { ColumnsLookup } from "./columns";
import { IndicatorMenu } from "./IndicatorMenu";
import type { MarketModel } from "./model";

export function Toolbar({ model, columns }: { model: MarketModel; columns: ColumnsLookup }) {
  const page = usePage();
  const view = useStore(page.view);
  const { exchange, symbol, interval } = model.tags;
  const known = useStore(page.instruments).find(
    (each) => each.exchange === exchange && each.symbol === symbol,
  );
  const intervals = useMemo(() => intervals_of(known === undefined ? [] : [known]), [known]);
  const keys = useMemo(() => {
    const numbered = intervals
      .slice(0, 9)
      .map((name, index) => [String(index + 1), () => page.show({ interval: name })]);
    return Object.fromEntries([...numbered, ["t", () => page.show({ table: !page.view.get().table })]]);
  }, [intervals, page]);
  useKeys(keys);
  return (
    <div className="toolbar">
      <fieldset className="segments">
        <legend className="unseen">Interval</legend>
        {intervals.map((name, index) => (
          <button
            key={name}
            type="button"
            aria-pressed={name === interval}
            title={index < 9 ? `${name} bars (${index + 1})` : `${name} bars`}
            onClick={() => page.show({ interval: name })}
          >
            {name}
          </button>
        ))}
      </fieldset>
      <IndicatorMenu
        columns={columns}
        chosen={view.indicators}
        choose={(indicators) => page.show({ indicators })}
      />
      <button
        type="button"
        className="with-icon"
        aria-pressed={view.table}
        title="Table (t)"
        onClick={() => page.show({ table: !view.table })}
      >
        <Icon name="table" /> <span>Table</span>
      </button>
    </div>
  );
}
