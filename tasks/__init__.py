"""The work that leaves the gateway: Celery tasks, one module a domain.

``celery -A tasks worker`` finds the app in :mod:`tasks.celery`. Whoever only sends work imports
:mod:`tasks.contract` and nothing else.
"""
