"""`keryx up`: API server, node, workloads and controllers of one machine, put together."""
