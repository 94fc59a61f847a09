"""`keryx webhook-service`: objects are checked when they are applied, with the rules of lint. Contract: G.4."""
