"""Numbers for monitoring: :mod:`.prometheus` and :mod:`.opentelemetry`, each an extra.

They tell what happens to sealed requests, and never any of their content.
"""
