import { createContext, useContext } from "react";
import type { Page } from "@/page/page";

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) throw new Error("PageContext: a component outside of Shell wants the page");
  return page;
}
