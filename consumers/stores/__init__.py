"""Where points are kept: one port, two adapters (InfluxDB 2, SQLite), one test suite run on both."""
