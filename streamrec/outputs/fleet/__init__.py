"""Several machines behind one history: what groups of cameras and the ledger on the head pass to each other."""
