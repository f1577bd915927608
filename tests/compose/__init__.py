"""The whole stack on an engine: brought up, watched, broken, judged (`make test-compose`)."""
