"""Old import path of the heartbeat task, kept so that tasks queued by an earlier release still run."""

from forecasting.runtime.heartbeat import answer

__all__ = ["answer"]
