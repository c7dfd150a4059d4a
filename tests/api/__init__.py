"""Tests of the HTTP API as a client uses it, with a real database, price source and models."""
