"""The training queue: requests, claims, positions."""
