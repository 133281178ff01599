"""Backends against the real daemons that they hear."""
