"""Background work: worker, task clusters, tasks, daily job, trainer."""
