#!/bin/sh
# Runs a command in a network namespace of its own whose addresses are all here: loopback, and those that kwok gives
# to pods. Nothing outside is reachable, nothing inside is seen from outside, and it ends with the command.
# Needs the right to make a namespace: root, or an account that may make user namespaces.
set -eu
if [ "${1:-}" = --inside ]; then
    shift
    ip link set lo up
    ip route add local 10.244.0.0/16 dev lo
    exec "$@"
fi
command -v ip >/dev/null || { echo 'ip is needed (package iproute2)' >&2; exit 1; }
if [ "$(id -u)" = 0 ]; then
    exec unshare --net -- "$0" --inside "$@"
fi
exec unshare --map-root-user --net -- "$0" --inside "$@"
