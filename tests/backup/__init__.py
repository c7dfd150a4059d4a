"""Backup and restore, with a second Postgres server to restore into."""
