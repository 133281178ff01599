"""
What other programs were told, as a configuration of netevd, and what will differ.

One module for each of them; `scripts` looks at what they ran, `sheet` changes a file and keeps its
comments. Nothing here writes to a disk.
"""
