# One static program, no shell, no package manager, not root.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# .git comes along, so that `rondo version` says what was built.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/rondo ./cmd/rondo \
 && mkdir /out/data /out/files

FROM scratch
# Certificate authorities: for rediss://, ACME and TLS to other TURN servers.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/rondo /rondo
# What is generated and kept: the secret and certificates.
COPY --from=build --chown=65532:65532 /out/data /data
# For files that people upload, if several containers share them: files-dir.
COPY --from=build --chown=65532:65532 /out/files /files
USER 65532:65532
WORKDIR /
ENV RONDO_DATA=/data
VOLUME /data
EXPOSE 8080/tcp 3478/udp 3478/tcp 5349/tcp
STOPSIGNAL SIGTERM
# Asks /readyz on the metrics listener that the same settings name.
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s CMD ["/rondo", "health"]
ENTRYPOINT ["/rondo"]
