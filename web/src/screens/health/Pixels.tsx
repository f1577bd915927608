import { milliseconds } from "@/page/figures";
import type { StreamClient } from "@/stream/client";
import { own_ms } from "@/stream/client";
import { HopTable } from "./HopTable";

/** Exchange → pixel of this very tab. */
export function Pixels({ stream }: { stream: StreamClient }) {
  const { latency, clock } = stream.core;
  const offset_ms = clock.offset_ms;
  const last_ms = stream.core.last_frame_ms;
  return (
    <section className="card" aria-label="Exchange to pixel">
      <h2>Exchange → pixel, this tab</h2>
      <HopTable
        label="Exchange to pixel, by hop"
        rows={[
          ["exchange → API", latency.to_server.quantiles()],
          ["API → this tab", latency.to_page.quantiles()],
          ["this tab → pixel", latency.to_screen.quantiles()],
          ["exchange → pixel", latency.total.quantiles()],
        ]}
      />
      <dl className="facts">
        <Fact name="This computer's clock" text={clock_text(offset_ms, clock.round_trip_ms)} />
        <Fact name="Round trip to the API" text={milliseconds(clock.round_trip_ms)} />
        <Fact
          name="Newest frame"
          text={last_ms === null ? "none yet" : `${milliseconds(own_ms() - last_ms)} ago`}
        />
        <Fact name="Frames" text={stream.core.frames.toLocaleString("en")} />
        <Fact name="Reconnects" text={String(stream.reconnects)} />
        <Fact name="Restarts of series" text={String(sum(stream, "restarts"))} />
        <Fact name="Trades not painted" text={sum(stream, "skipped").toLocaleString("en")} />
      </dl>
    </section>
  );
}

function sum(stream: StreamClient, name: "restarts" | "skipped"): number {
  return [...stream.core.subscriptions.values()].reduce((total, each) => total + each[name], 0);
}

function clock_text(offset_ms: number | null, round_trip_ms: number | null): string {
  if (offset_ms === null || round_trip_ms === null) return "not measured yet";
  // The offset is only known within half a round trip.
  if (Math.abs(offset_ms) <= round_trip_ms / 2 + 1) return "agrees with the API's";
  return `${milliseconds(Math.abs(offset_ms))} ${offset_ms > 0 ? "behind" : "ahead of"} the API's; ages are corrected by it`;
}

export function Fact({ name, text }: { name: string; text: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}
