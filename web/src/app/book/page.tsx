import { BookScreen } from "@/screens/book/BookScreen";

export default function BookPage() {
  return <BookScreen />;
}
