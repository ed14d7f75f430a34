#!/usr/bin/env bash
# Takes the variables of the official image and writes them into Cassandra's settings; the server runs as cassandra.
set -euo pipefail
[ $# -gt 0 ] && [ "${1#-}" = "$1" ] || set -- cassandra -f "$@"
[ "$1" = cassandra ] || exec "$@"
settings="$CASSANDRA_CONF/cassandra.yaml"
if [ "$(id -u)" = 0 ]; then
  find "$CASSANDRA_CONF" /var/lib/cassandra /var/log/cassandra ! -user cassandra -exec chown cassandra {} +
  exec setpriv --reuid=cassandra --regid=cassandra --clear-groups "$0" "$@"
fi

# The file is replaced as a whole, never left half written; a folder that is mounted read-only is an error at once.
set_setting() {
  awk -v key="$1" -v value="$2" '
    index($0, key ":") == 1 { print key ": " value; done = 1; next }
    { print }
    END { if (!done) print key ": " value }' "$settings" >"$settings.new"
  mv "$settings.new" "$settings"
}

own_address() { hostname --all-ip-addresses | cut -d' ' -f1; }
resolved() { if [ "$1" = auto ]; then own_address; else echo "$1"; fi; }

listen="$(resolved "${CASSANDRA_LISTEN_ADDRESS:-auto}")"
broadcast="$(resolved "${CASSANDRA_BROADCAST_ADDRESS:-$listen}")"
set_setting listen_address "$listen"
set_setting broadcast_address "$broadcast"
set_setting rpc_address "${CASSANDRA_RPC_ADDRESS:-0.0.0.0}"
set_setting broadcast_rpc_address "${CASSANDRA_BROADCAST_RPC_ADDRESS:-$broadcast}"
set_setting cluster_name "'${CASSANDRA_CLUSTER_NAME:-Test Cluster}'"
set_setting num_tokens "${CASSANDRA_NUM_TOKENS:-16}"
set_setting endpoint_snitch "${CASSANDRA_ENDPOINT_SNITCH:-SimpleSnitch}"
set_setting seed_provider "[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: \
[{seeds: '${CASSANDRA_SEEDS:-$broadcast}'}]}]"
# A folder's own file stays as it is where nothing is said of it.
if [ -n "${CASSANDRA_DC:-}${CASSANDRA_RACK:-}" ]; then
  printf 'dc=%s\nrack=%s\n' "${CASSANDRA_DC:-dc1}" "${CASSANDRA_RACK:-rack1}" >"$CASSANDRA_CONF/cassandra-rackdc.properties"
fi
exec "$@"
