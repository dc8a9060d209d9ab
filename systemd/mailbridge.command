#!/bin/sh
# Goes to /usr/local/bin/mailbridge. The command line as the service sees things: its user, so that files it
# makes belong to the service; its settings, wherever you stand; its passwords, while it runs.
export MAILBRIDGE_CONFIG="${MAILBRIDGE_CONFIG:-/etc/mailbridge/mailbridge.toml}"
credentials=/run/credentials/mailbridge.service
[ -d "$credentials" ] && export CREDENTIALS_DIRECTORY="$credentials"
[ "$(id -u)" = 0 ] && exec runuser -u mailbridge -- /opt/mailbridge/venv/bin/mailbridge "$@"
exec /opt/mailbridge/venv/bin/mailbridge "$@"
