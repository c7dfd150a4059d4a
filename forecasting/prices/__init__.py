"""Daily prices in plain Python: bars and their quality, sessions of exchanges, price sources. The ground floor."""
