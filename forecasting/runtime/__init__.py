"""Processes and how they are watched: process groups, heartbeat, broker, lock of the worker."""
