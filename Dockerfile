# The front, the worker and the command line in one image; compose.yaml says which runs.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/forebay \
    && /opt/forebay/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY broker broker
COPY services services
COPY forebay forebay
COPY pytest_forebay.py .
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/forebay/bin/pip install --no-cache-dir --no-deps /wheels/forebay-*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin forebay
COPY --from=build /opt/forebay /opt/forebay
ENV PATH=/opt/forebay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Where forebay.toml is looked for, if one is mounted.
WORKDIR /etc/forebay
USER forebay
EXPOSE 8000
CMD ["forebay", "front"]
