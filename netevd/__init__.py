"""
Everything of netevd that runs without privilege.

What runs with privilege is the package `privsep` beside this one; from it, netevd sees
`privsep.protocol`, `launch` and `variables`, which are pure, and nothing else. Layers, top to bottom: cli, worker; kernel, backends, http;
report; core; config; model (docs/architecture.md).
"""

__version__ = "0.1.0"
