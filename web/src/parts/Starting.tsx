"use client";

import { useStore } from "@/page/store";
import { usePage } from "./page-context";

/** Stands for a screen that does not know yet what to show; of an unknown instrument the banner speaks. */
export function Starting() {
  const known = useStore(usePage().instruments);
  return known.length > 0 ? null : <p className="starting">Waiting for the list of instruments …</p>;
}
