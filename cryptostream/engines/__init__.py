"""Real engines without Docker: Apache Kafka from Maven, influxd from its Go module, cached outside the tree.

The cache (`~/.cache/cryptostream/engines`, or `$CRYPTOSTREAM_ENGINES`) outlives clones, and locally built
container images use it too.
"""
