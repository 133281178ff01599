"""
Sources of what the kernel does not know: who has configured a link, what a lease says, which DNS.

Belongs here: how each source is read and watched. What follows from its facts is the core's. Imports
report and model only; bytes and messages of others are distrusted like any input.
"""
