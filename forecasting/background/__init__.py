"""What runs in the background: worker, clusters, tasks, trainer."""
