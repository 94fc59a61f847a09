"""The composition root: commands, and what puts the packages together. Imports everybody, imported by nobody."""
