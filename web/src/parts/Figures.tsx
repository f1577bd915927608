"use client";

import { milliseconds, utc } from "@/page/figures";
import { outcome_of } from "@/page/ledger";
import { useStore } from "@/page/store";
import { usePage } from "./page-context";
import { useTick } from "./use-tick";

/** What must be seen on every screen: lost ids, lag, and how old the pixels are. */
export function Figures() {
  const { stream, health } = usePage();
  useTick();
  const connection = useStore(stream.connection);
  const ledger = useStore(health.ledger);
  const problem = useStore(health.ledger_problem);
  const latency = stream.core.latency.total.quantiles();
  const lag_s = health.lag_s();
  const lost = outcome_of(ledger, problem);
  const live = connection === "open";
  return (
    <dl className="figures" data-away={!live}>
      <Figure
        name="lost"
        text={lost.short}
        tone={lost.tone}
        title={
          lost.tone === "doubt"
            ? `Lost ids are unknown: ${lost.reason}`
            : [
                `Ids that the exchange issued and the store lacks, since ${utc(ledger?.counted_from_ms ?? 0)} UTC`,
                ...(lost.reason === null ? [] : [lost.reason]),
              ].join(". ")
        }
      />
      <Figure
        name="lag"
        text={lag_s === null ? "unknown" : milliseconds(lag_s * 1000)}
        tone={lag_s === null ? "doubt" : lag_s > 10 ? "bad" : "good"}
        title="The most that any service is behind Kafka"
      />
      <Figure
        name="exchange → pixel"
        text={latency === null ? "–" : `${milliseconds(latency.p50)} · ${milliseconds(latency.p95)}`}
        tone={latency === null ? "doubt" : "good"}
        title="From the exchange's event to this screen: half of all are faster than the first, 95 % faster than the second"
      />
    </dl>
  );
}

function Figure({ name, text, tone, title }: { name: string; text: string; tone: string; title: string }) {
  return (
    <div title={title} data-tone={tone} data-figure={name}>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}
