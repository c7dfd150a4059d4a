"""Processes and how they are supervised: process groups, heartbeat, task broker, worker lock."""
