"""A Binance-compatible exchange on localhost: market model, REST and WebSocket, recordings, exchange log."""
