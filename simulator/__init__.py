"""A Binance-compatible exchange on localhost: market model, REST and WebSocket, recordings, truth log."""
