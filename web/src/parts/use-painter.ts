import { useEffect } from "react";
import { usePage } from "./page-context";

/** Calls `paint` at each refresh of the screen for which something came; it must do nothing if nothing changed. */
export function usePainter(paint: () => void): void {
  const { loop } = usePage();
  useEffect(() => {
    const remove = loop.add(paint);
    loop.request();
    return () => {
      remove();
    };
  }, [loop, paint]);
}

/** Sets a text only if it differs: the browser lays nothing out anew otherwise. */
export function write(element: Element | null | undefined, text: string): void {
  if (element && element.textContent !== text) element.textContent = text;
}
