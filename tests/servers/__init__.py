"""Real servers: gunicorn, waitress, Flask's own, and nginx in front of them."""
