# Two targets: `bot`, the service, and `runner`, which measures for it and is also the image that candidates run in.
#
#     docker build --target bot -t nightlab-bot .
#     docker build --target runner -t nightlab-runner .
#
# The bases are arguments, so that a GPU's image (any Debian or Ubuntu with Python 3.11 or newer), a mirror or a digest can
# be named. So is the index of torch, whose CPU build is a tenth in size: see pytorch.org's "Get started" for its address.
# Everything else that is installed has its version in constraints.txt.
ARG BOT_BASE=python:3.11-slim
ARG RUNNER_BASE=python:3.11-slim

FROM ${BOT_BASE} AS bot-build
WORKDIR /build
RUN python3 -m venv /opt/nightlab
COPY pyproject.toml constraints.txt ./
# First what is large and rarely changes; the libraries' own tests stay behind.
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
    > requirements.txt && /opt/nightlab/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt \
    && find /opt/nightlab -type d -name tests -prune -exec rm -r {} +
COPY README.md LICENSE ./
COPY bot bot
COPY runner runner
RUN /opt/nightlab/bin/pip install --no-cache-dir --no-deps . \
    && /opt/nightlab/bin/pip uninstall --yes --quiet pip setuptools

# No torch, no compiler, no git, no shell's user: a process that talks to the forge, the model and the database.
FROM ${BOT_BASE} AS bot
RUN useradd --create-home --home-dir /var/lib/nightlab --uid 10001 --shell /usr/sbin/nologin nightlab
COPY --from=bot-build /opt/nightlab /opt/nightlab
ENV PATH=/opt/nightlab/bin:$PATH PYTHONUNBUFFERED=1 NIGHTLAB_HOST=0.0.0.0 NIGHTLAB_PORT=8700 NIGHTLAB_STATE=/var/lib/nightlab
USER nightlab
WORKDIR /var/lib/nightlab
VOLUME /var/lib/nightlab
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python3", "-c", "import os, urllib.request; \
urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"NIGHTLAB_PORT\"]}/healthz/live', timeout=4)"]
ENTRYPOINT ["nightlab"]
CMD ["serve"]

FROM ${RUNNER_BASE} AS runner
ARG TORCH_INDEX=
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git ca-certificates $(command -v python3 >/dev/null || echo python3 python3-venv) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
RUN python3 -m venv /opt/nightlab
# Candidates are started as `python3`; theirs is this one.
ENV PATH=/opt/nightlab/bin:$PATH PYTHONUNBUFFERED=1
COPY pyproject.toml constraints.txt ./
RUN python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; e = p["optional-dependencies"]; \
    print(*p["dependencies"], *e["runner"], *e["gpu"], sep="\n")' > requirements.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep ^torch requirements.txt)" \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY README.md LICENSE ./
COPY bot bot
COPY runner runner
# Bytecode is made now: candidates see a read-only root, where no import could keep it.
RUN pip install --no-cache-dir --no-deps --compile .
WORKDIR /var/lib/nightlab
ENV NIGHTLAB_STATE=/var/lib/nightlab
CMD ["nightlab", "runner"]
