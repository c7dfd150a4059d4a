"""Upgrades: code of the former release beside the present schema and code."""
