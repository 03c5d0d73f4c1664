"""The verbs: glue between the pure domain, the tables and the ports. Only these change a release."""
