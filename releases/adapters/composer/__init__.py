"""Adapters of the port for composing models in a process of their own."""
