"""The embedded stack: all real engines of the portal as plain processes under one supervisor.

Must not know Django or the product: it starts programs, hands them addresses, and waits for them.
"""
