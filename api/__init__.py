"""The browser dashboard and its HTTP and WebSocket API."""
