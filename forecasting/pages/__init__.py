"""Pages for visitors: what is forecast, and how forecasts have turned out. They read what is stored, and start nothing."""
