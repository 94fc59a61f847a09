"""Custom resources: their definitions, and objects that follow a structural schema."""
