#!/bin/sh
# Makes the secrets of compose.yaml, in the folder secrets/ beside this file. What is there already stays as it is.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# The folder is its owner's alone. The files are read in containers, by users of other numbers.
keep() { # NAME, and the text on standard input
  if [ -s "secrets/$1" ]; then return; fi
  cat > "secrets/$1.new"
  chmod 0444 "secrets/$1.new"
  mv "secrets/$1.new" "secrets/$1"
  echo "made secrets/$1"
}

random 24 | keep postgres_password
printf 'postgres://writ:%s@postgres:5432/writ?sslmode=verify-full&sslrootcert=/run/trust/ca.pem' \
  "$(cat secrets/postgres_password)" | keep database_url
head -c 32 /dev/urandom | keep openbao_seal_key
random 12 | keep grafana_password
