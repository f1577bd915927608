"use client";

import { duration } from "@/page/figures";
import { useStore } from "@/page/store";
import { unknown_instrument } from "@/page/view";
import type { StreamClient } from "@/stream/client";
import { own_ms } from "@/stream/client";
import { usePage } from "./page-context";
import { useTick } from "./use-tick";

interface Notice {
  tone: "bad" | "doubt";
  text: string;
}

/** What is drawn: stale figures of services alone do not grey the market. */
const OF_MARKET = new Set(["kline", "open_bar", "indicator", "indicator_live", "trade", "quote", "levels"]);

/** One line when what is shown is not the market as it is now. */
export function Banner() {
  const { stream, problem, view, instruments } = usePage();
  useTick();
  useStore(stream.connection);
  const unknown = unknown_instrument(useStore(view), useStore(instruments));
  const detail = useStore(problem) ?? unknown;
  const notice = notice_of(stream) ?? (detail === null ? null : { tone: "doubt" as const, text: detail });
  return (
    <section className="banners" aria-label="Notices" aria-live="polite">
      {notice !== null && (
        <p className="banner" data-tone={notice.tone}>
          {notice.text}
        </p>
      )}
    </section>
  );
}

function notice_of(stream: StreamClient): Notice | null {
  const { core } = stream;
  if (stream.connection.get() === "away") {
    const since_ms = core.last_frame_ms ?? stream.away_since_ms ?? own_ms();
    return {
      tone: "bad",
      text: `Not connected: what is shown is ${duration(own_ms() - since_ms)} old. Trying again …`,
    };
  }
  const all = [...core.subscriptions.values()];
  const away = all.find((each) => each.state === "away");
  if (away !== undefined) {
    return {
      tone: "bad",
      text: `Kafka is away${since(stream, away.since_ms)}: ${away.cause || "the last state is shown"}.`,
    };
  }
  const refused = all.find((each) => each.error !== null);
  if (refused !== undefined) return { tone: "doubt", text: `${refused.wish.series}: ${refused.error}` };
  const stale = all.filter((each) => each.state === "stale");
  const [first] = stale;
  if (first === undefined) return null;
  const market = stale.some((each) => OF_MARKET.has(each.wish.series));
  const names = [...new Set(stale.map((each) => each.wish.series.replaceAll("_", " ")))].join(", ");
  return {
    tone: market ? "bad" : "doubt",
    text: `Feed stale (${names})${since(stream, first.since_ms)}: ${first.cause}`,
  };
}

function since(stream: StreamClient, since_ms: number | null): string {
  return since_ms === null || since_ms <= 0 ? "" : ` for ${duration(stream.server_ms() - since_ms)}`;
}
