import type { HealthModel } from "@/page/health";
import type { Named } from "@/series/latest";
import { type Hop, HopTable } from "./HopTable";

const ORDER = ["socket", "kafka", "consumed", "stored", "pushed", "painted"];

/** Ages of data on its way to the store and to all screens, as the services report them. */
export function Hops({ health }: { health: HealthModel }) {
  const rows = health.rows_of("freshness").sort(by_stream_and_hop).map(hop);
  return (
    <section className="card" aria-label="Exchange to store and screens">
      <h2>Exchange → store and screens, as the services report it</h2>
      {rows.length === 0 ? (
        <p className="empty">No service has reported yet: unknown.</p>
      ) : (
        <HopTable label="Exchange to store and screens, by hop" rows={rows} />
      )}
    </section>
  );
}

function hop(row: Named): Hop {
  const name = `${row.stream} → ${row.hop}${row.instance === "0" || row.instance === null ? "" : ` (${row.instance})`}`;
  const [p50, p95, p99] = [row.p50, row.p95, row.p99].map((value) =>
    typeof value === "number" ? value : Number.NaN,
  );
  return [name, { p50: p50 as number, p95: p95 as number, p99: p99 as number }];
}

function by_stream_and_hop(a: Named, b: Named): number {
  const key = (row: Named) =>
    `${row.exchange} ${row.stream} ${ORDER.indexOf(String(row.hop))} ${row.instance}`;
  return key(a) < key(b) ? -1 : 1;
}
