"""The page: its server, routes, live pictures and editor of cameras."""
