/** The parts of a page that live outside React, made once in the browser. */

import { instruments as fetch_instruments } from "@/api/http";
import { token, token_wanted } from "@/api/token";
import type { Instrument } from "@/api/types";
import { browser_environment, PaintLoop } from "@/paint/loop";
import { StreamClient } from "@/stream/client";
import { HealthModel } from "./health";
import { Store } from "./store";
import { first_interval, meant, read_view, unknown_instrument, type View, write_view } from "./view";

const AGES_EVERY_MS = 500;

export type Theme = "dark" | "light";

export class Page {
  readonly loop = new PaintLoop(browser_environment());
  readonly stream: StreamClient;
  readonly health: HealthModel;
  readonly view: Store<View>;
  readonly instruments = new Store<readonly Instrument[]>([]);
  /** Address of the Grafana beside it, if there is one. */
  readonly grafana = new Store<string | null>(null);
  /** Why the instruments are not known; null while they are or are asked for. */
  readonly problem = new Store<string | null>(null);
  readonly theme: Store<Theme>;
  readonly help = new Store(false);

  constructor() {
    const { protocol, host, search } = window.location;
    this.view = new Store(read_view(search));
    this.stream = new StreamClient(
      `${protocol === "https:" ? "wss" : "ws"}://${host}/api/v1/stream`,
      token.get,
    );
    this.health = new HealthModel(this.stream);
    this.stream.onframe = () => this.loop.request();
    this.loop.ondone = () => this.stream.painted();
    this.stream.onrefused = () => void this.load();
    this.stream.connection.subscribe(() => {
      if (this.stream.connection.get() !== "open") return;
      const unknown = unknown_instrument(this.view.get(), this.instruments.get());
      if (this.problem.get() !== null || unknown !== null) void this.load();
      if (this.health.ledger.get() === null) void this.health.ask();
    });
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const current = (): Theme => {
      const { theme } = this.view.get();
      return theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    };
    this.theme = new Store(current());
    const themed = () => {
      this.theme.set(current());
      document.documentElement.dataset.theme = this.theme.get();
    };
    dark.addEventListener("change", themed);
    this.view.subscribe(themed);
    themed();
    window.addEventListener("popstate", () => this.view.set(read_view(window.location.search)));
    token.subscribe(() => {
      this.stream.retry_now();
      void this.load();
      void this.health.ask();
    });
  }

  start(): void {
    this.health.start();
    this.stream.start();
    void this.load();
    // Ages rise when nothing comes, too.
    setInterval(() => this.loop.request(), AGES_EVERY_MS);
  }

  /** Instruments, and whether a token is wanted. */
  private async load(): Promise<void> {
    try {
      const told = await fetch_instruments();
      this.instruments.set(told.instruments);
      this.grafana.set(told.grafana);
      this.problem.set(null);
      token_wanted.set(false);
      const view = this.view.get();
      const found = meant(view, this.instruments.get());
      if (found !== undefined) {
        const { exchange, symbol, intervals } = found;
        this.show({ exchange, symbol, interval: first_interval(view.interval, intervals) });
      }
    } catch (error) {
      this.problem.set(error instanceof Error ? error.message : String(error));
    }
  }

  /** Show something else; the address says so. */
  show(change: Partial<View>): void {
    this.view.set({ ...this.view.get(), ...change });
    const query = write_view(this.view.get());
    window.history.replaceState(null, "", `${window.location.pathname}${query === "" ? "" : `?${query}`}`);
  }
}

let made: Page | undefined;

export function page(): Page {
  if (made === undefined) {
    made = new Page();
    made.start();
  }
  return made;
}
