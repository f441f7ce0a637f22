#!/bin/sh
# Leaves a join token in the data folder of a node that has not joined yet: join.sh NAME. Run with the settings of the command line.
set -eu
data=${NODE_DATA_DIR:?}
if [ -e "$data/identity.json" ]; then
  echo "$1 has joined already"
  exit 0
fi
rm -f "$data/join.token"
exec ${WRIT:-node /app/dist/cli/main.js} token create "$1" --kind join --expires-in 15m --out "$data/join.token"
