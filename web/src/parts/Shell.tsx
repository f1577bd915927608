"use client";

import { usePathname } from "next/navigation";
import { type ReactNode, useEffect, useState } from "react";
import { token_wanted } from "@/api/token";
import { install } from "@/page/hooks";
import { type Page, page } from "@/page/page";
import { useStore } from "@/page/store";
import { Banner } from "./Banner";
import { Header } from "./Header";
import { Help } from "./Help";
import { PageContext } from "./page-context";
import { TokenForm } from "./TokenForm";
import { useShellKeys } from "./use-keys";

/** Around every screen: header, banner, help. Nothing of it is made before it is in a browser. */
export function Shell({ children }: { children: ReactNode }) {
  const [current, set_current] = useState<Page | null>(null);
  useEffect(() => {
    set_current(page());
    install();
  }, []);
  if (current === null) return <p className="starting">Starting …</p>;
  return (
    <PageContext value={current}>
      <Frame>{children}</Frame>
    </PageContext>
  );
}

const SCREEN_NAMES: Record<string, string> = {
  "": "Market",
  book: "Book",
  compare: "Compare",
  health: "Health",
};

function Frame({ children }: { children: ReactNode }) {
  useShellKeys();
  const wanted = useStore(token_wanted);
  const path = usePathname();
  return (
    <>
      <Header />
      <Banner />
      <main id="screen">
        <h1 className="unseen">{SCREEN_NAMES[path.replaceAll("/", "")] ?? "CryptoStream"}</h1>
        {wanted ? <TokenForm /> : children}
      </main>
      <Help />
    </>
  );
}
