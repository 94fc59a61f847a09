"""One module per spec key, named after it in snake case."""
