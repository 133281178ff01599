"""
What knows rtnetlink: the decoder, the translation of the helper's feed, the one-shot dump.

The daemon holds no netlink socket: the privileged helper forwards the kernel's bytes, and what is
here turns them into inputs of the core. `dump` is the exception, for commands that look once.
"""
