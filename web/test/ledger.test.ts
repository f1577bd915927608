import { describe, expect, test } from "vitest";
import type { Ledger } from "@/api/types";
import { outcome_of } from "@/page/ledger";

const FROM = Date.UTC(2026, 10, 29, 14, 2);

function ledger(more: Partial<Ledger>): Ledger {
  return {
    from_ms: FROM,
    to_ms: FROM + 600_000,
    counted_from_ms: FROM,
    lost: 0,
    lost_counted: 0,
    reason: null,
    series: [],
    not_carried: [],
    ...more,
  };
}

describe("what is lost", () => {
  test("is nothing where all was counted", () => {
    expect(outcome_of(ledger({}), null)).toEqual({
      short: "0",
      text: "Nothing is lost",
      tone: "good",
      reason: null,
    });
  });

  test("is nothing since the count began, and unknown before", () => {
    const late = ledger({ lost: null, counted_from_ms: FROM + 60_000, reason: "counted from 14:03 on only" });
    expect(outcome_of(late, null)).toEqual({
      short: "0 since 14:03",
      text: "Nothing is lost since 2026-11-29 14:03:00 UTC; before that it is unknown",
      tone: "good",
      reason: "counted from 14:03 on only",
    });
  });

  test("is said though more may be lost", () => {
    const some = outcome_of(
      ledger({ lost: 1234, lost_counted: 1234, reason: "counted up to 14:05 only" }),
      null,
    );
    expect([some.short, some.tone, some.reason]).toEqual(["1,234", "bad", "counted up to 14:05 only"]);
  });

  test("is unknown where the end was not counted, and without an answer", () => {
    const behind = ledger({ lost: null, lost_counted: null, reason: "counted up to 14:05 only" });
    for (const [given, problem] of [
      [behind, null],
      [null, null],
      [null, "history is away"],
    ] as const) {
      const { short, tone, reason } = outcome_of(given, problem);
      expect([short, tone]).toEqual(["unknown", "doubt"]);
      expect(reason).not.toBeNull();
    }
  });
});
