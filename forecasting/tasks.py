"""Old path of the tasks, now in background/tasks.py: tasks queued by an earlier release still run."""

from forecasting.background.tasks import daily_job, drain_training_queue, resume_daily_job, sync_symbols

__all__ = ["daily_job", "drain_training_queue", "resume_daily_job", "sync_symbols"]
