#!/bin/sh
# As in the official image: options or a file alone are those of redis-server, which runs as redis, and listens to all
# unless it is told otherwise (Debian's would turn away whoever comes from another container).
set -e
case "$1" in
  -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
  if [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
  fi
  umask 0077
  case "$*" in
    *protected-mode*) ;;
    *) [ -f "$2" ] && grep -q '^ *protected-mode' "$2" || set -- "$@" --protected-mode no ;;
  esac
fi
exec "$@"
