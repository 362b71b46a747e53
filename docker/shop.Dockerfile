# The demo service and its load generator, in one image.
FROM golang:1.26-bookworm AS build
WORKDIR /source/tests/services/shop
# The helper, which the shop can turn on, is found by its relative path.
COPY instrumentation/go /source/instrumentation/go
COPY tests/services/shop/go.mod tests/services/shop/go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY tests/services/shop .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    GOCACHE=/go/cache CGO_ENABLED=0 go build -trimpath -o /bin/ ./cmd/shop ./cmd/load

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 shop
COPY --from=build /bin/shop /bin/load /usr/local/bin/
USER shop
# The shop itself, and /debug/pprof.
EXPOSE 8080 6060
CMD ["shop"]
