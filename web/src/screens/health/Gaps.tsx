import { duration, utc } from "@/page/figures";
import { type HealthModel, producers_report } from "@/page/health";
import { useStore } from "@/page/store";
import type { StreamClient } from "@/stream/client";

/** Streams that lack data which the exchange has, and minutes in which something was lost. */
export function Gaps({ health, stream }: { health: HealthModel; stream: StreamClient }) {
  const ledger = useStore(health.ledger);
  const carriage = health.rows_of("carriage").filter((row) => row.carried === false);
  const now_ms = stream.server_ms();
  const known = producers_report(health.rows_of("services"), now_ms);
  const lost = (ledger?.series ?? []).flatMap(({ symbol, stream: name, interval, lost_periods_ms }) =>
    lost_periods_ms.map((time_ms) => ({ name: `${symbol} ${name} ${interval}`, time_ms })),
  );
  return (
    <section className="card wide" aria-label="Gaps">
      <h2>Gaps</h2>
      <ul className="gaps">
        {carriage.map((row) => (
          <li key={`${row.exchange} ${row.symbol} ${row.stream}`} data-tone="bad">
            {row.symbol} · {row.exchange} {row.stream}: not carried
            {typeof row.since_ms === "number" &&
              ` for ${duration(now_ms - row.since_ms)}, since ${utc(row.since_ms)} UTC`}
          </li>
        ))}
        {lost.map(({ name, time_ms }) => (
          <li key={`${name} ${time_ms}`} data-tone="bad">
            {name}: something was lost in the minute from {utc(time_ms)} UTC
          </li>
        ))}
        {!known && (
          <li data-tone="doubt">Whether every stream is carried is unknown: not all producers report.</li>
        )}
        {ledger === null && <li data-tone="doubt">Whether anything was lost is unknown.</li>}
        {known && ledger !== null && carriage.length + lost.length === 0 && <li>None is open.</li>}
      </ul>
    </section>
  );
}
