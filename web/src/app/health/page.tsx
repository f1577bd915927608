import { HealthScreen } from "@/screens/health/HealthScreen";

export default function HealthPage() {
  return <HealthScreen />;
}
