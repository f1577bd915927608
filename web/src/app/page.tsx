import { MarketScreen } from "@/screens/market/MarketScreen";

export default function MarketPage() {
  return <MarketScreen />;
}
