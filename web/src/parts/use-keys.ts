import { useEffect } from "react";
import { usePage } from "./page-context";

export type Keys = Record<string, () => void>;

/** Keys that work unless something is being typed. */
export function useKeys(keys: Keys): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const typing =
        event.target instanceof Element && event.target.closest("input, textarea, select, [role=listbox]");
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const action = keys[event.key];
      if (action === undefined) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [keys]);
}

export function useShellKeys(): void {
  const { help } = usePage();
  useKeys({
    "?": () => help.set(!help.get()),
    Escape: () => help.set(false),
    "/": () => document.getElementById("symbol")?.focus(),
  });
}
