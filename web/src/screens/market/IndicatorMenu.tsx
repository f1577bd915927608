"use client";

import { useEffect, useRef, useState } from "react";
import { useStore } from "@/page/store";
import { label_of, over_candles } from "@/paint/indicator-places";
import type { ColumnsLookup } from "./columns";

interface Props {
  columns: ColumnsLookup;
  chosen: readonly string[];
  choose: (columns: string[]) => void;
}

const MOST = 12;

export function IndicatorMenu({ columns, chosen, choose }: Props) {
  const names = useStore(columns.names);
  const [filter, set_filter] = useState("");
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => close_outside(menu.current), []);
  const all = [...new Set([...chosen, ...names])].sort();
  const shown = all.filter((name) =>
    `${name} ${label_of(name)}`.toLowerCase().includes(filter.trim().toLowerCase()),
  );
  const toggle = (name: string) =>
    choose(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name].slice(-MOST));
  return (
    <details className="menu" ref={menu}>
      <summary>
        Indicators <span className="badge">{chosen.length}</span>
      </summary>
      <div className="menu-body">
        <input
          type="search"
          aria-label="Filter indicators"
          placeholder="Filter, e.g. ema"
          value={filter}
          onChange={(event) => set_filter(event.target.value)}
        />
        <ul>
          {shown.map((name) => (
            <li key={name}>
              <label>
                <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
                <span>{label_of(name)}</span>
                <code>{name}</code>
                <small>{over_candles(name) ? "over candles" : "pane"}</small>
              </label>
            </li>
          ))}
        </ul>
        {shown.length === 0 && <p>No indicator has “{filter}” in its name.</p>}
      </div>
    </details>
  );
}

/** Escape or a press elsewhere closes the menu. Gives back what ends that. */
function close_outside(menu: HTMLDetailsElement | null): () => void {
  const close = (event: Event) => {
    if (menu === null || !menu.open) return;
    const elsewhere = event.target instanceof Node && !menu.contains(event.target);
    if (event instanceof KeyboardEvent ? event.key === "Escape" : elsewhere) menu.open = false;
  };
  window.addEventListener("pointerdown", close);
  window.addEventListener("keydown", close);
  return () => {
    window.removeEventListener("pointerdown", close);
    window.removeEventListener("keydown", close);
  };
}
