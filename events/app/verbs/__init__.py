"""What is done to objects every day: one module per verb. `session` has what they share."""
