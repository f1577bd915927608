import type { NextConfig } from "next";

const config: NextConfig = {
  output: "export",
  trailingSlash: true,
  images: { unoptimized: true },
  reactStrictMode: false, // charts and the socket live outside React; mounting twice would subscribe twice
  poweredByHeader: false,
};

export default config;
