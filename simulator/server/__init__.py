"""The shell: sockets, clocks, files."""
