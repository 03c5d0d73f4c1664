"""Adapters of the port for this: one file per vendor, which know nothing of each other."""
