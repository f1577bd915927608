"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { useStore } from "@/page/store";
import { type View, write_view } from "@/page/view";
import { Figures } from "./Figures";
import { Icon } from "./Icon";
import { usePage } from "./page-context";
import { SymbolPicker } from "./SymbolPicker";

const SCREENS = [
  ["/", "Market"],
  ["/book/", "Book"],
  ["/compare/", "Compare"],
  ["/health/", "Health"],
] as const;

export function Header() {
  const page = usePage();
  const view = useStore(page.view);
  const grafana = useStore(page.grafana);
  const theme = useStore(page.theme);
  const path = usePathname();
  const query = write_view(view);
  const other = theme === "dark" ? "light" : "dark";
  return (
    <header className="header">
      <a className="skip" href="#screen">
        Skip to the screen
      </a>
      <Link className="brand" href={query === "" ? "/" : `/?${query}`} prefetch={false}>
        <Icon name="pulse" /> <span>CryptoStream</span>
      </Link>
      <nav aria-label="Screens">
        {SCREENS.map(([href, name]) => (
          <Link
            key={href}
            href={query === "" ? href : `${href}?${query}`}
            prefetch={false}
            aria-current={same(path, href) ? "page" : undefined}
          >
            {name}
          </Link>
        ))}
        {grafana !== null && (
          <a href={grafana_link(grafana, view)} target="_blank" rel="noreferrer">
            Grafana ↗
          </a>
        )}
      </nav>
      <SymbolPicker />
      <Figures />
      <div className="tools">
        <button
          type="button"
          className="icon"
          aria-label={`Use ${other} colours`}
          title={`Use ${other} colours`}
          onClick={() => page.show({ theme: other })}
        >
          <Icon name={other === "dark" ? "moon" : "sun"} />
        </button>
        <button
          type="button"
          className="icon"
          aria-label="Help"
          title="Help (?)"
          onClick={() => page.help.set(true)}
        >
          <Icon name="help" />
        </button>
      </div>
    </header>
  );
}

/** The same instrument and interval on its dashboard Market. */
function grafana_link(grafana: string, { exchange, symbol, interval }: View): string {
  const chosen = { "var-exchange": exchange ?? "", "var-symbol": symbol ?? "", "var-interval": interval };
  return `${grafana.replace(/\/$/, "")}/d/market?${new URLSearchParams(chosen)}`;
}

function same(path: string, href: string): boolean {
  return path.replace(/\/$/, "") === href.replace(/\/$/, "");
}
