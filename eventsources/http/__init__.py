"""The HTTP servers behind `context.http`: `server` owns ports, `routes` what happens to one request."""
