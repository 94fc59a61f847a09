"""Deployments, sets, jobs and services of one machine: small ordinary controllers, clients of the API as all others."""
