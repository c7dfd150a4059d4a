"""A real Postgres from PyPI binaries. `server` runs it; `base` is its Django database engine."""
