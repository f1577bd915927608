"""Knows nothing of ours: what an exchange issued by its own word against what is stored and told.

It reads the exchange's log, the store's rows and a command's exit code and words, with the standard library
alone. How a run is made (`plan`, `run`) and how it is judged (`judge`) know nothing of each other but plain
values: any other way of making runs can be judged by the same judge.
"""
