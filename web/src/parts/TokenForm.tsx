"use client";

import { type FormEvent, useState } from "react";
import { token } from "@/api/token";
import { useStore } from "@/page/store";
import { usePage } from "./page-context";

/** Asks for the API's token, which is kept in memory only. */
export function TokenForm() {
  const { problem } = usePage();
  const detail = useStore(problem);
  const tried = useStore(token) !== null;
  const [text, set_text] = useState("");
  const give = (event: FormEvent) => {
    event.preventDefault();
    if (text !== "") token.set(text.trim());
  };
  return (
    <form className="token card" onSubmit={give}>
      <h2>This API wants a token</h2>
      <p>It is the value of API_TOKEN. It stays in this tab's memory and is gone when the tab is closed.</p>
      <label htmlFor="token">Token</label>
      <input
        id="token"
        type="password"
        autoComplete="off"
        value={text}
        onChange={(event) => set_text(event.target.value)}
      />
      {tried && detail !== null && <p role="alert">The token was not accepted: {detail}</p>}
      <button type="submit">Continue</button>
    </form>
  );
}
