/** GET on the API; every failure is a `Problem` that names the way out. */

import { token, token_wanted } from "./token";
import type { Instruments, ProblemBody, Rows } from "./types";

const TIMEOUT_MS = 20_000;

export class Problem extends Error {
  constructor(
    /** HTTP's; 0 if no answer came. */
    readonly status: number,
    detail: string,
    readonly retry_after_s: number | null = null,
  ) {
    super(detail);
  }
}

export type Query = Record<string, string | number | undefined>;

export function address(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `/api/v1/${path}${text === "" ? "" : `?${text}`}`;
}

export async function get<T>(path: string, query: Query = {}, fetcher: typeof fetch = fetch): Promise<T> {
  const secret = token.get();
  const headers: HeadersInit = { accept: "application/json" };
  if (secret !== null) headers.authorization = `Bearer ${secret}`;
  const response = await answer(fetcher, address(path, query), headers);
  if (response.ok) return (await response.json()) as T;
  if (response.status === 401) token_wanted.set(true);
  throw await problem_of(response);
}

async function answer(fetcher: typeof fetch, url: string, headers: HeadersInit): Promise<Response> {
  try {
    return await fetcher(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new Problem(
      0,
      `the API does not answer: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function problem_of(response: Response): Promise<Problem> {
  const retry = Number(response.headers.get("retry-after"));
  const retry_after_s = retry > 0 ? retry : null;
  try {
    const body = (await response.json()) as Partial<ProblemBody>;
    return new Problem(response.status, body.detail ?? body.title ?? response.statusText, retry_after_s);
  } catch {
    return new Problem(response.status, `HTTP ${response.status} ${response.statusText}`, retry_after_s);
  }
}

export const rows = (measurement: string, query: Query) => get<Rows>(`rows/${measurement}`, query);

export const instruments = () => get<Instruments>("instruments");
