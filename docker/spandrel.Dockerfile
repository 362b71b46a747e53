# The collector: built from the workspace, run as an unprivileged user.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked -p spandrel && cp target/release/spandrel /usr/local/bin/spandrel

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/spandrel --create-home spandrel
COPY --from=build /usr/local/bin/spandrel /usr/local/bin/spandrel
COPY docker/spandrel.yaml /etc/spandrel/spandrel.yaml
USER spandrel
WORKDIR /var/lib/spandrel
VOLUME /var/lib/spandrel
# OTLP over gRPC and HTTP, own metrics, health.
EXPOSE 4317 4318 8888 13133
# The image has no HTTP client; bash speaks enough HTTP.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/13133; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["spandrel"]
CMD ["run", "--config", "/etc/spandrel/spandrel.yaml"]
