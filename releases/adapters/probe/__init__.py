"""Adapters of the port for looking at models in a process of their own."""
