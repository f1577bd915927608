import Link from "next/link";

export default function NotFound() {
  return (
    <p className="starting">
      There is no such screen. <Link href="/">Go to the market</Link>
    </p>
  );
}
