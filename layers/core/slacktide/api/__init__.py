"""The HTTP API: one service, in the dialects of two clients. Nothing else in the library knows of it."""
