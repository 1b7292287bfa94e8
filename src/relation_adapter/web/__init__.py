"""The page: drop a before, an after and your pictures; and the same edit over HTTP. Needs the extra `ui`."""
