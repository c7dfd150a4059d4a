"""Where an earlier release had the task that answers a heartbeat: what it queued still runs."""

from forecasting.runtime.heartbeat import answer

__all__ = ["answer"]
