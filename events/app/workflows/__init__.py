"""`keryx wf`: workflows of an API server, from the command line. Contract: workflows N."""
