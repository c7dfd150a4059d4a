"""Old path of the task that answers a ping: tasks queued by an earlier release still run."""

from forecasting.runtime.heartbeat import answer_ping as answer

__all__ = ["answer"]
