"""What happened: a SQLite store of events, and the evidence of each."""
