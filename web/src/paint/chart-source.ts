import type { Bars } from "@/series/bars";
import type { Decimals } from "@/series/decimals";
import type { Provisional } from "@/series/provisional";
import type { Gap } from "@/stream/wire";

/** What the chart reads; it never changes it. */
export interface ChartSource {
  readonly bars: Bars;
  readonly open: Provisional;
  /** Columns are those that `indicators` names. */
  readonly values: Bars;
  readonly indicators: readonly string[];
  /** Indicator values of open bars. */
  readonly live_values: Provisional;
  readonly gaps: readonly Gap[];
  readonly decimals: Decimals;
  readonly step_ms: number | null;
  /** Open bars that belong to the window: none while it is scrolled away from the newest bar. */
  open_bars(): readonly number[][];
  /** Another text when more has changed than the newest bars. */
  shape(): string;
  wants_older(): void;
}

export interface ChartPosition {
  bar_spacing: number;
  /** Bars between the newest one and the right edge; less than zero if it is not in view. */
  from_right: number;
}
