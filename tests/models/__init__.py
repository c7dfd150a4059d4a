"""Tests of the tables, one file per noun as in forecasting/models."""
