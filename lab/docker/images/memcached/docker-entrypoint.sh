#!/bin/sh
# As in the official image: options alone are those of memcached.
[ "${1#-}" = "$1" ] || set -- memcached "$@"
exec "$@"
