"""
Frozen values that all layers share: links, addresses, snapshots, events, and the closed unions of
what goes into the core (`inputs`) and what comes out of it (`actions`).

Nothing here does I/O, reads a clock or imports more than attrs and the standard library's types.
"""
