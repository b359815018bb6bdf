"""What a new user trips over elsewhere, and where it is tested:

* several event loops, a second ``asyncio.run``: ``test_loops``, ``test_notebooks``
* gunicorn with ``--preload``, multiprocessing, spawn: ``test_forks``
* uvicorn, ``--reload``, SIGTERM as process 1, Kubernetes' grace time: ``test_servers``; signals:
  ``tests/behaviour/test_shutdown``
* SQLAlchemy's URL dialects: ``test_urls``
* FastAPI, Flask, Django: ``tests/contrib``, ``tests/examples``
* pytest, one store for each xdist process: ``tests/testing/test_override``, ``test_pytest_plugin``
* two releases at once: ``tests/behaviour/test_releases``
"""
