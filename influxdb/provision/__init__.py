"""Provisioning for containers: secrets, InfluxDB's buckets, tokens and tasks, backups."""
