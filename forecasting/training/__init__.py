"""Trainings of models as rows of a queue: requests, claims, positions."""
