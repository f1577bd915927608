"use client";

import { useEffect, useRef } from "react";
import { useStore } from "@/page/store";
import { usePage } from "./page-context";

const KEYS: [string, string][] = [
  ["/", "choose a symbol"],
  ["1 – 9", "choose an interval"],
  ["t", "table of the same rows"],
  ["?", "this help"],
  ["Esc", "close"],
];

export function Help() {
  const { help } = usePage();
  const open = useStore(help);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} className="help" aria-labelledby="help-title" onClose={() => help.set(false)}>
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>Marks</h2>
      <ul>
        <li>Hollow candle: the bar is still open, and provisional.</li>
        <li>Hatched band: bars are missing; the word over it says why.</li>
        <li>Dashed line: provisional, or computed from incomplete data.</li>
        <li>Grey book: out of step with the exchange, so no figures are shown.</li>
      </ul>
      <button type="button" onClick={() => help.set(false)}>
        Close
      </button>
    </dialog>
  );
}
