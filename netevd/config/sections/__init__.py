"""Sections of a configuration, each a module of values; `schema` puts them together."""
