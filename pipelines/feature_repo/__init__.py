"""A Feast repository: what is known of users, and what was measured of bottles of wine."""
