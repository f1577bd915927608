"""The whole stack on an engine: brought up, watched, broken, checked (`make test-compose`)."""
