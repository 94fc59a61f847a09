"""Roles: rules compiled once, bindings by subject, decisions in microseconds, and no way to grant what one lacks."""
