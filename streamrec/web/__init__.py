"""The page: its server, routes, live images and editor of cameras."""
