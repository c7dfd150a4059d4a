"""Tests of the embedded Postgres, with real servers in temporary folders."""
