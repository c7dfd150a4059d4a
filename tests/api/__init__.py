"""The HTTP API, asked as a client asks it; the database is real, and so are the price source and the models."""
