"""Kubernetes: the contract (`api`), its client (`client`), and two that need no cluster (`memory`, `dry_run`)."""
