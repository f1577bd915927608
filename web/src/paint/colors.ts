/** Colours of what is drawn on canvases; those of the rest are in app/styles/base.css. */

export interface Colors {
  background: string;
  grid: string;
  text: string;
  border: string;
  up: string;
  down: string;
  up_soft: string;
  down_soft: string;
  gap: string;
  doubt: string;
  lines: readonly string[];
}

export const DARK: Colors = {
  background: "#0f1318",
  grid: "#1b2129",
  text: "#a3adbb",
  border: "#29313c",
  up: "#2fbf8a",
  down: "#f5566d",
  up_soft: "rgba(47, 191, 138, 0.32)",
  down_soft: "rgba(245, 86, 109, 0.32)",
  gap: "rgba(240, 180, 60, 0.5)",
  doubt: "#f0b43c",
  lines: ["#5aa7ff", "#f0b43c", "#c58bff", "#4fd1c5", "#ff9f6b", "#f783c3", "#9ccc65", "#90a4ae"],
};

export const LIGHT: Colors = {
  background: "#ffffff",
  grid: "#eef1f5",
  text: "#4b5563",
  border: "#d5dae2",
  up: "#08805a",
  down: "#c9283f",
  up_soft: "rgba(8, 128, 90, 0.28)",
  down_soft: "rgba(201, 40, 63, 0.26)",
  gap: "rgba(160, 100, 0, 0.45)",
  doubt: "#8a5a00",
  lines: ["#1565c0", "#a86200", "#7b2fbf", "#00796b", "#bf4a12", "#b0236f", "#4b7a1e", "#546e7a"],
};
