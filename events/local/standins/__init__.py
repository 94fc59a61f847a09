"""Programs of well-known small images, written anew: standard library alone, each a file that is run by its path."""
