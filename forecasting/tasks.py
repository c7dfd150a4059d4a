"""Old import path of background/tasks.py, kept so that tasks queued by an earlier release still run."""

from forecasting.background.tasks import daily_job, drain_training_queue, resume_daily_job, sync_symbols

__all__ = ["daily_job", "drain_training_queue", "resume_daily_job", "sync_symbols"]
