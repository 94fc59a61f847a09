"""Who asks, and what he may do: certificates, tokens, impersonation, roles, access reviews.

`front.Front` puts them in the order of a request: `authentication` gives the User, `impersonation` maybe another one,
`rbac.index` decides. The rest is asked where it is needed: `rbac.escalation` before a role or binding is written,
`rbac.aggregation` after one was, `rbac.bootstrap` at the start, `reviews` and `token_requests` as answers.
"""
