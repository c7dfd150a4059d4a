"""From daily bars to a forecast, in plain Python: no Django, no database, no clock."""
