"use client";

import { useEffect } from "react";
import { usePage } from "@/parts/page-context";
import { useTick } from "@/parts/use-tick";
import { Gaps } from "./Gaps";
import { Hops } from "./Hops";
import { LedgerTable } from "./LedgerTable";
import { Pixels } from "./Pixels";
import { Probe } from "./probe";
import { Services } from "./Services";

export function HealthScreen() {
  const { stream, health, instruments } = usePage();
  // A tab that shows no market has nothing to measure: it follows one instrument for that.
  useEffect(() => {
    const probe = new Probe(stream, instruments);
    probe.start();
    return () => probe.stop();
  }, [stream, instruments]);
  useEffect(() => void health.ask(), [health]);
  useTick();
  return (
    <div className="health">
      <LedgerTable health={health} />
      <Pixels stream={stream} />
      <Hops health={health} />
      <Services health={health} stream={stream} />
      <Gaps health={health} stream={stream} />
    </div>
  );
}
