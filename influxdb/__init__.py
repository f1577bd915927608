"""What is provisioned into InfluxDB: buckets, tokens and tasks as declared here."""
