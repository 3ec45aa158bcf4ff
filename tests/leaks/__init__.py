"""The leak lab: where plaintext goes when an application runs as applications run.

Each request carries markers in its body, its headers, its query and its answer. They are looked
for in all that proxies, access logs and monitoring have kept. The same views, unsealed, are the
control: there the markers are found, or the lab would not see a leak.
"""
