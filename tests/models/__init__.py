"""Tests of the tables, a file a noun, as in forecasting/models."""
