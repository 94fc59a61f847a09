"""`keryx migrate-check`: what changes for each object when Argo Events' controller is swapped for ours."""
