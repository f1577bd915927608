import type { Metadata, Viewport } from "next";
import type { ReactNode } from "react";
import { LOGO_STYLE } from "@/paint/logo-style";
import { Shell } from "@/parts/Shell";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/market.css";
import "./styles/tables.css";
import "./styles/book.css";
import "./styles/health.css";
import "./styles/narrow.css";

export const metadata: Metadata = {
  title: "CryptoStream",
  description: "Live market data with its proof of completeness",
};

export const viewport: Viewport = { width: "device-width", initialScale: 1, colorScheme: "dark light" };

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <head>
        <style dangerouslySetInnerHTML={{ __html: LOGO_STYLE }} />
      </head>
      <body>
        <Shell>{children}</Shell>
      </body>
    </html>
  );
}
