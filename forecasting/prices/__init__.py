"""Daily prices in plain Python: bars and their quality, exchange sessions, price sources. The lowest layer of the package."""
