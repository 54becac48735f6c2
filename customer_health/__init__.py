"""Customer health: an explained, gated and versioned account score in the user's own warehouse.

The scoring itself is SQL (the dbt project beside this package). The Python here is what SQL
cannot be: the command line, the order of a run, the lock, the quality gates, the publication of
the readers' copy, and the demo data.
"""

__version__ = "0.1.0"
