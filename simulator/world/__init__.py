"""The seeded market: trades are drawn, bars are their sums, the book agrees with them."""
