import type { LedgerSeries } from "@/api/types";
import { count, utc } from "@/page/figures";
import type { HealthModel } from "@/page/health";
import { outcome_of } from "@/page/ledger";
import { useStore } from "@/page/store";
import { Scrolls } from "@/parts/Scrolls";

export function LedgerTable({ health }: { health: HealthModel }) {
  const ledger = useStore(health.ledger);
  const problem = useStore(health.ledger_problem);
  const { text, tone, reason } = outcome_of(ledger, problem);
  return (
    <section className="card wide" aria-label="Ledger">
      <h2>Ledger: what the exchange issued, and what is stored</h2>
      <p className="verdict" data-tone={tone} role="status">
        {reason === null ? text : `${text}. ${reason}`}
        {ledger !== null && (
          <small>
            {" "}
            {utc(ledger.counted_from_ms ?? ledger.from_ms)} – {utc(ledger.to_ms)} UTC
          </small>
        )}
      </p>
      {ledger !== null && (
        <Scrolls label="Ledger by series">
          <table>
            <thead>
              <tr>
                {[
                  "series",
                  "expected",
                  "stored",
                  "backfilled",
                  "in flight",
                  "halted",
                  "duplicates",
                  "lost",
                ].map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {ledger.series.map((each) => (
                <SeriesRow
                  key={`${each.exchange} ${each.symbol} ${each.stream} ${each.interval}`}
                  series={each}
                />
              ))}
            </tbody>
          </table>
        </Scrolls>
      )}
    </section>
  );
}

function SeriesRow({ series }: { series: LedgerSeries }) {
  const { symbol, stream, interval } = series;
  const when = series.lost_periods_ms.map(utc).join(", ");
  return (
    <tr>
      <th scope="row">
        {symbol} {stream} {interval}
      </th>
      {(
        [
          series.expected,
          series.stored,
          series.backfilled,
          series.in_flight,
          series.halted,
          series.duplicates,
        ] as const
      ).map((value, index) => (
        <td key={index}>{count(value)}</td>
      ))}
      <td
        data-tone={series.lost > 0 ? "bad" : "good"}
        title={when === "" ? undefined : `Lost in the minutes from ${when}`}
      >
        {count(series.lost)}
      </td>
    </tr>
  );
}
