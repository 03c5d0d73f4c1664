"""What pages show, read from the database: one module per page, a constant number of queries each.

Read models are frozen dataclasses round the rows; nothing here changes anything or asks an engine.
"""
