"use client";

import { useEffect, useState } from "react";
import { useStore } from "@/page/store";
import { Ladder } from "@/parts/Ladder";
import { usePage } from "@/parts/page-context";
import { Starting } from "@/parts/Starting";
import { Canvases } from "./Canvases";
import { BookModel } from "./model";

export function BookScreen() {
  const page = usePage();
  const { exchange, symbol } = useStore(page.view);
  const [model, set_model] = useState<BookModel | null>(null);
  useEffect(() => {
    if (exchange === null || symbol === null) return;
    const made = new BookModel(page.stream, exchange, symbol);
    made.start();
    set_model(made);
    return () => made.stop();
  }, [page, exchange, symbol]);
  if (model === null) return <Starting />;
  return (
    <div className="book">
      <Ladder model={model} depth={15} />
      <Canvases model={model} />
    </div>
  );
}
