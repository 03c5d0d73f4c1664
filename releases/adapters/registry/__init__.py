"""Adapters of the port for model registries: one file per vendor."""
