"""The Django project: settings, URLs, Celery, and the embedded stack of engines."""
