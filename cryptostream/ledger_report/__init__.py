"""`cryptostream ledger`: claims from the topic or the store, and the recount that checks them."""
