"""Settings: cameras.toml, tuned.toml, the options over them, and which are in force."""
