"""The warehouse: rows by stage, COPY and MERGE into Snowflake."""
