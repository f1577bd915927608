const PATHS = {
  pulse: "M2 13h4l3-8 5 14 3-8 1.5 2H22",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  help: "M12 22a10 10 0 1 0 0-20 10 10 0 0 0 0 20ZM9.2 9.3a2.9 2.9 0 1 1 4 2.7c-.8.4-1.2.9-1.2 1.8v.4M12 17.4v.1",
  table: "M3 5h18v14H3ZM3 10h18M3 14.500h18M9 10v9",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="glyph" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
