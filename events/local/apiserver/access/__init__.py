"""Who asks, and what he may do: certificates, tokens, impersonation, roles, access reviews.

Order of a request: `authentication` gives the User, `impersonation` maybe another one, `rbac.authorizer` decides.
"""
