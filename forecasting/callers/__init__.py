"""Who asks, and how much each caller may ask for."""
