"""Where an earlier release had its tasks: what it queued still runs. The tasks are in background/tasks.py."""

from forecasting.background.tasks import daily_job, drain_training_queue, resume_daily_job, sync_symbols

__all__ = ["daily_job", "drain_training_queue", "resume_daily_job", "sync_symbols"]
