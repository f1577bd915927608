import type { Row } from "@/stream/wire";
import type { components } from "./schema";

/** Values are of the types that `types` names. */
export type Rows = Omit<components["schemas"]["Rows"], "rows"> & { rows: Row[] };
export type ProblemBody = components["schemas"]["Problem"];
export type Instrument = components["schemas"]["Instrument"];
export type Instruments = components["schemas"]["Instruments"];
export type Ledger = components["schemas"]["Ledger"];
export type LedgerSeries = components["schemas"]["LedgerSeries"];

/** Kinds of series, and names of the columns of each: a name that the API lacks is an error of types. */
export type SeriesKind = components["schemas"]["SeriesName"];
export type KlineColumn = keyof components["schemas"]["KlineRow"];
export type TradeColumn = keyof components["schemas"]["TradeRow"];
export type QuoteColumn = keyof components["schemas"]["QuoteRow"];
export type LevelsColumn = keyof components["schemas"]["LevelsRow"];
