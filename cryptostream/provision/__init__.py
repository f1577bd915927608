"""Sets up what the containers stand on: secrets, InfluxDB's buckets, tokens and tasks, its backups."""
