import { milliseconds } from "@/page/figures";
import { Scrolls } from "@/parts/Scrolls";

export type Hop = [name: string, quantiles: { p50: number; p95: number; p99: number } | null];

export function HopTable({ label, rows }: { label: string; rows: readonly Hop[] }) {
  return (
    <Scrolls label={label}>
      <table>
        <thead>
          <tr>
            {["hop", "p50", "p95", "p99"].map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, found]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{milliseconds(found?.p50)}</td>
              <td>{milliseconds(found?.p95)}</td>
              <td>{milliseconds(found?.p99)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolls>
  );
}
