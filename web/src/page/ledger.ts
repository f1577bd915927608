import type { Ledger } from "@/api/types";
import { count, utc, utc_clock } from "./figures";

export interface Outcome {
  /** For a figure: few characters. */
  short: string;
  /** A sentence, without its reason. */
  text: string;
  tone: "good" | "bad" | "doubt";
  /** Why there is more that is not known; null if nothing is. */
  reason: string | null;
}

/** What a ledger says of what is lost: zero only of what was counted, and since when. */
export function outcome_of(ledger: Ledger | null, problem: string | null): Outcome {
  const reason = problem ?? (ledger === null ? "not asked yet" : ledger.reason);
  const lost = ledger?.lost ?? null;
  if (lost !== null && lost > 0)
    return { short: count(lost), text: `Lost: ${count(lost)}`, tone: "bad", reason };
  if (lost !== null) return { short: "0", text: "Nothing is lost", tone: "good", reason };
  const since_ms = ledger?.counted_from_ms ?? null;
  if (ledger?.lost_counted === 0 && since_ms !== null)
    return {
      short: `0 since ${utc_clock(since_ms).slice(0, 5)}`,
      text: `Nothing is lost since ${utc(since_ms)} UTC; before that it is unknown`,
      tone: "good",
      reason,
    };
  return { short: "unknown", text: "Lost: unknown", tone: "doubt", reason };
}
