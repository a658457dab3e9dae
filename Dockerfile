# The command `cosseg`, with the web page and the HTTP API, on the CPU; docs/install.md says how to run it.

FROM python:3.13-slim AS build
WORKDIR /source
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY cosseg_jax cosseg_jax
ENV UV_PROJECT_ENVIRONMENT=/opt/cosseg
RUN uv sync --frozen --no-cache --no-editable --compile-bytecode --extra app --extra heic

FROM python:3.13-slim
RUN useradd --create-home --uid 1000 cosseg \
    && install --directory --owner=cosseg --group=cosseg /photos /home/cosseg/.cache
COPY --from=build /opt/cosseg /opt/cosseg
ENV PATH="/opt/cosseg/bin:$PATH"
USER 1000:1000
WORKDIR /photos
EXPOSE 8765
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s CMD \
    ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/v1/openapi.json', timeout=5)"]
ENTRYPOINT ["cosseg"]
CMD ["app", "--host", "0.0.0.0"]
