"""`streamrec fleet`: cameras on several machines, with one history and one page."""
