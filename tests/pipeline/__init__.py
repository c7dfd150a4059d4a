"""Tests of the pipeline: no Django, no database."""
