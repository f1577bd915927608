/** The token of the API: in memory only, gone with the tab. */

import { Store } from "@/page/store";

export const token = new Store<string | null>(null);
/** Whether the API has asked for one. */
export const token_wanted = new Store(false);
