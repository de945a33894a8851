# One image for every service of docker-compose.yml; PostgreSQL has its own.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

# The folders that volumes are mounted on: a new volume takes their owner over.
RUN groupadd --gid 10001 tunelab \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/tunelab \
        --shell /usr/sbin/nologin tunelab \
 && install -d -o tunelab -g tunelab -m 0700 /srv/tunelab /srv/store /srv/artifacts

WORKDIR /opt/tunelab

# Dependencies in a layer of their own, which a change of the program leaves as it is.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN mkdir tunelab && touch tunelab/__init__.py \
 && pip install -c constraints.txt '.[postgres]' \
 && pip uninstall --yes tunelab

COPY tunelab tunelab
RUN pip install --no-deps . && rm -r tunelab
COPY deploy deploy

WORKDIR /srv/tunelab
USER 10001:10001
ENTRYPOINT ["tunelab"]
CMD ["--help"]
