"""The seeded market: trades are the only truth; bars are their sums, the book stands beside them."""
