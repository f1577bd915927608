import { useEffect, useState } from "react";

/** Renders again so often: for what is shown slower than it changes. */
export function useTick(period_ms = 1000): number {
  const [tick, set_tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => set_tick((last) => last + 1), period_ms);
    return () => clearInterval(timer);
  }, [period_ms]);
  return tick;
}
