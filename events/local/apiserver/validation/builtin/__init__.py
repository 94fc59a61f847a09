"""Rules of the built-in kinds, one module for each family of kinds."""
