"""Expression languages of the objects: what filters and conditions are written in."""
