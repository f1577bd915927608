import { CompareScreen } from "@/screens/compare/CompareScreen";

export default function ComparePage() {
  return <CompareScreen />;
}
