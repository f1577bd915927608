"""Pages, compose files and image digests, written from their sources: make docs, compose, images, bench."""
