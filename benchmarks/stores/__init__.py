"""Where jobs are stored: a private server or a folder a kind of store, and a fresh store for each measurement."""
