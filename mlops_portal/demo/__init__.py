"""The demo: real models, real engines, real traffic; a good release is promoted and a bad one comes back.

Talks to the portal as anybody would, by its REST API and its log-in page. Must not import Django.
"""
