import { count, duration, milliseconds } from "@/page/figures";
import { type HealthModel, SILENT_AFTER_MS } from "@/page/health";
import { Scrolls } from "@/parts/Scrolls";
import type { StreamClient } from "@/stream/client";
import type { Cell } from "@/stream/wire";

const COLUMNS = [
  "service",
  "state",
  "messages / s",
  "lag",
  "lag, messages",
  "dead letters",
  "restarts",
  "reported",
];

export function Services({ health, stream }: { health: HealthModel; stream: StreamClient }) {
  const rows = health.rows_of("services").sort((a, b) => (name_of(a) < name_of(b) ? -1 : 1));
  const now_ms = stream.server_ms();
  return (
    <section className="card wide" aria-label="Services">
      <h2>Services</h2>
      {rows.length === 0 && <p className="empty">No service has reported yet: unknown.</p>}
      {rows.length > 0 && (
        <Scrolls label="Reports of services">
          <table>
            <thead>
              <tr>
                {COLUMNS.map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => {
                const age_ms = now_ms - Number(row.time_ms);
                const silent = age_ms > SILENT_AFTER_MS;
                const state = silent ? "silent" : row.up === null ? "unknown" : row.up ? "up" : "down";
                return (
                  <tr key={name_of(row)}>
                    <th scope="row">{name_of(row)}</th>
                    <td data-tone={state === "up" ? "good" : state === "unknown" ? "doubt" : "bad"}>
                      {state}
                    </td>
                    <td>{figure(row.messages_per_s)}</td>
                    <td>
                      {typeof row.lag_seconds === "number" ? milliseconds(row.lag_seconds * 1000) : "unknown"}
                    </td>
                    <td>{figure(row.lag_messages)}</td>
                    <td data-tone={Number(row.dead_letters) > 0 ? "doubt" : "good"}>
                      {figure(row.dead_letters)}
                    </td>
                    <td>{figure(row.restarts)}</td>
                    <td>{duration(Math.max(0, age_ms))} ago</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </Scrolls>
      )}
    </section>
  );
}

function name_of(row: Record<string, Cell>): string {
  return `${row.service}${row.instance === "0" || row.instance === null || row.instance === "" ? "" : ` ${row.instance}`}`;
}

function figure(value: Cell | undefined): string {
  return count(typeof value === "number" ? value : null);
}
