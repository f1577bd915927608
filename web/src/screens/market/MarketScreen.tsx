"use client";

import { useEffect, useState } from "react";
import { offer } from "@/page/hooks";
import { useStore } from "@/page/store";
import { Ladder } from "@/parts/Ladder";
import { usePage } from "@/parts/page-context";
import { Starting } from "@/parts/Starting";
import { Tape } from "@/parts/Tape";
import { ChartView } from "./ChartView";
import { ColumnsLookup } from "./columns";
import { MarketModel } from "./model";
import { QuoteLine } from "./QuoteLine";
import { TableView } from "./TableView";
import { Toolbar } from "./Toolbar";

export function MarketScreen() {
  const market = useMarket();
  const { table } = useStore(usePage().view);
  if (market === null) return <Starting />;
  return (
    <div className="market">
      <section
        className="card chart-card"
        aria-label={`${market.model.tags.symbol}, ${market.model.tags.interval} bars`}
      >
        <Toolbar model={market.model} columns={market.columns} />
        <QuoteLine model={market.model} />
        {table ? <TableView model={market.model} /> : <ChartView model={market.model} />}
      </section>
      <Ladder model={market.model} depth={15} />
      <Tape model={market.model} />
    </div>
  );
}

/** The model of what the address names; another one when that changes. */
function useMarket(): { model: MarketModel; columns: ColumnsLookup } | null {
  const page = usePage();
  const view = useStore(page.view);
  const { exchange, symbol, interval } = view;
  const indicators = view.indicators.join();
  const [market, set_market] = useState<{ model: MarketModel; columns: ColumnsLookup } | null>(null);
  useEffect(() => {
    if (exchange === null || symbol === null) return;
    const chosen = indicators === "" ? [] : indicators.split(",");
    const tags = { exchange, symbol, interval };
    const model = new MarketModel(page.stream, tags, chosen, () => page.loop.request());
    const columns = new ColumnsLookup(page.stream, tags);
    model.start();
    columns.start();
    const withdraw = offer({ model });
    set_market({ model, columns });
    return () => {
      withdraw();
      model.stop();
      columns.stop();
    };
  }, [page, exchange, symbol, interval, indicators]);
  return market;
}
