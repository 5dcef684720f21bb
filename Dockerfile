# One image for the worker and the demos: docker build -t zk-app:latest .
# In the syntax of Docker's classic builder, which needs no plug-in.
FROM python:3.13-slim

# A mirror of PyPI, where there is one: docker build --build-arg PIP_INDEX_URL=https://...
ARG PIP_INDEX_URL

# No .pyc files at run time: the root file system is read-only, and all that is in the image is compiled below.
# No buffer: what a demo prints is on the screen at once, also through kubectl exec.
# No DNS by eventlet: it goes the wrong way through the search domains of Kubernetes.
# No cache of pytest's, which it would write beside the tests.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    EVENTLET_NO_GREENDNS=yes \
    PYTEST_ADDOPTS="-p no:cacheprovider"

# User 1000, as ZooKeeper's own image has it, and the places where it may write; its home is one of them.
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /tmp app \
 && mkdir /shared /backup \
 && chown app:app /shared /backup

WORKDIR /app

# A layer of its own: it is built again only when the list changes, not with every edit of a demo.
# Wheels only, so no compiler is needed on any architecture. The Kubernetes client brings a second, asynchronous
# one along, with packages for it alone: with the libraries' own tests that is a third of all, and nobody here
# imports it.
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --only-binary=:all: \
      -r requirements.txt \
 && cd "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && rm -r kubernetes/aio \
 && pip uninstall --yes --quiet --root-user-action=ignore aiohttp aiohttp-retry aiosignal frozenlist multidict propcache yarl \
 && find . -path '*/tests/*' -name 'test_*.py*' -delete

# The worker, and every script at the top of the folder: a new one needs no line here.
COPY app ./app
COPY *.py ./
# Readable for user 1000 whatever the umask of whoever wrote them. A script that does not compile is no reason to
# stop: python says so again when somebody runs it.
RUN chmod -R a+rX . && (python3 -m compileall -q . || true)

USER 1000:1000
EXPOSE 5000
# Not an entry point, so that `docker run zk-app:latest python3 demo_....py` works as well. No shell in between:
# the worker is process 1, hears SIGTERM itself, and hands over.
CMD ["python3", "-m", "app"]
