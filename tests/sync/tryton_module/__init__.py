"""A Tryton module: parties have a health score, and a route that a signed webhook writes to."""
