"""Tests of the embedded Postgres: real servers, each in a temporary folder of its own."""
