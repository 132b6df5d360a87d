"""Where results go: windows, videos, JSON Lines, plug-ins, the history."""
