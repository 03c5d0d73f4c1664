"""The demo of what runs beside a model: an ensemble, a router, a cache, encryption and features, released.

Talks to the portal by its REST API and to models through the gateway. Must not import Django.
"""
