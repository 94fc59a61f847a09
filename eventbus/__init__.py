"""Carries events and keeps small state. Knows no sensor, no filter and no source.

`base` is the contract; `jetstream` and `memory` keep it; `embedded` runs a nats-server of our own.
"""
