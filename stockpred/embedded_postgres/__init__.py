"""A real Postgres from PyPI binaries: `server` runs it, `base` makes it a Django database engine."""
