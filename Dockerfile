# The program in a small image: built with Rust, run without it.
#
#   docker build -t chronicle .
#   docker run --rm chronicle describe

# The release that the project is built and tested with; Cargo.toml says the oldest one that will do.
FROM rust:1.95.0-slim-trixie AS build
WORKDIR /build
# Every member of the workspace, by name: cargo wants all of them, and pipeline/chronicle/tests/deployment sees to it
# that none is missing here or in .dockerignore.
COPY Cargo.toml Cargo.lock ./
COPY ledger ledger
COPY store store
COPY pipeline pipeline
COPY sources sources
COPY operators operators
COPY sinks sinks
COPY servers servers
COPY benches benches
COPY migrations migrations
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked -p chronicle \
    && cp target/release/chronicle /usr/local/bin/chronicle

# The same Debian as in the first stage, so the same C library.
FROM debian:trixie-20260803-slim
# For TLS to databases and NATS: the roots that the system trusts.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/chronicle /usr/local/bin/chronicle
RUN groupadd --system --gid 10001 chronicle \
    && useradd --system --uid 10001 --gid chronicle --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin chronicle
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8080
# No HEALTHCHECK: only `run` serves /livez and /readyz, and this image also runs `migrate`, `verify` and the other tools.
# docker-compose.yml has one for the service that runs.
# Serving other machines takes CHRONICLE_HTTP_TOKENS, or CHRONICLE_HTTP_OPEN=true where nobody else can reach it.
ENTRYPOINT ["chronicle"]
CMD ["run", "--http", "0.0.0.0:8080"]
