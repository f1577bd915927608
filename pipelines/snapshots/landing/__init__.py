"""Where rows land: Parquet files, on a disk or in object storage."""
