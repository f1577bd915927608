"""Prefect flows: market snapshots at regular instants, to Parquet, object storage and a warehouse."""
