"""
What netevd decides: which change is which event, which script runs for it, when and in what order.

Sans-I/O: inputs (`netevd.model.inputs`) in, actions (`netevd.model.actions`) out. Nothing here
opens, waits, logs, reads a clock or draws a random number; whoever holds the engine does. Modules,
in the order in which an input passes them: resync (dump and difference), observe (tables,
snapshots, changes), record (one link's facts and counts), operational (networkctl's scale),
classify (changes to event types), filters and variables (the verdict on an event, and what a
condition may ask of it), facts (what an event is about), debounce and damping (what waits, what is
held back), gate (these in their order), hooks (which scripts), lanes (in which order), runs (a
script's life: runners, mutexes, retries, pauses hold it back, active is the part with a process),
environment (its variables). `engine` composes them.
"""
