"""The bus on NATS JetStream. The only package that imports `nats`.

`bus` keeps the contract; `connection` keeps one `link` alive; `deliveries` reads; `state` writes small values.
"""
