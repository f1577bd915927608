"""Checks runs of the command line against the exchange's own log; imports none of our packages.

It reads the exchange's log, the store's rows and a command's exit code and output, with the standard library
alone. Making a run (`plan`, `run`) and checking it (`checks`) share plain values only, so that runs made in
another way can be checked too.
"""
