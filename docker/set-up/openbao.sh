#!/usr/bin/env bash
# Initialises OpenBao once, sets it up for Writ, and leaves what others need of it in their volumes. Twice changes nothing.
# Run as root in the image writ-set-up, with VAULT_ADDR and VAULT_CACERT, and the volumes below $VOLUMES.
set -euo pipefail
umask 077
volumes=${VOLUMES:-/volumes}
set_up=${SET_UP:-/app/vault/set-up.sh}
role=auth/approle/role/writ-orchestrator
# Where bao looks for its token, so that it is in no argument and no variable.
export HOME
HOME=$(mktemp -d)
trap 'rm -r "$HOME"' EXIT

own() { # OWNER MODE FILE
  chmod "$2" "$3"
  if [ "$(id -u)" = 0 ]; then chown "$1" "$3"; fi
}

until_ok() { # WHAT COMMAND…
  local what=$1
  shift
  for _ in $(seq 120); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "openbao: $what within a minute" >&2
  exit 1
}

# Status 2 is that of a server that answers and is sealed, or not initialised yet.
status() { bao status 2>/dev/null || [ $? = 2 ]; }

until_ok 'does not answer' status
root=$volumes/openbao-root
if status | grep '^Initialized *false' >/dev/null; then
  bao operator init -recovery-shares=1 -recovery-threshold=1 > "$root/init.new"
  mv "$root/init.new" "$root/init"
  echo 'initialised: root token and recovery key lie in the volume openbao-root'
fi
secret_id=$volumes/orchestrator/secret-id
logs_in() { bao write auth/approle/login role_id=writ-orchestrator "secret_id=@$secret_id"; }
if [ ! -s "$root/init" ]; then
  # Somebody has taken the root token to a safer place: what is set up stays as it is.
  until_ok 'lets no orchestrator log in, and its root token is not in the volume openbao-root: nothing changed' logs_in
  [ -s "$volumes/rabbitmq/ca.pem" ]
  exit 0
fi
sed -n 's/^Initial Root Token: //p' "$root/init" | tr -d '\n' > "$HOME/.vault-token"
until_ok 'is not unsealed' bao token lookup

VAULT_CLI=bao "$set_up" | sed '/^$/,$d'

# Orchestrators log in as this role. Its id is no secret; a secret id that is still good stays.
bao write "$role/role-id" role_id=writ-orchestrator >/dev/null
if ! logs_in >/dev/null 2>&1; then
  bao write -f -field=secret_id "$role/secret-id" > "$secret_id.new"
  own 1000:1000 0400 "$secret_id.new"
  mv "$secret_id.new" "$secret_id"
  echo 'made a secret id for the orchestrators'
fi

# Who may connect to RabbitMQ: orchestrators and consumers by the authority of these containers, nodes by OpenBao's.
{
  cat "$volumes/trust/ca.pem"
  bao read -field=certificate pki/cert/ca
  echo
} > "$volumes/rabbitmq/ca.pem.new"
own 999:999 0444 "$volumes/rabbitmq/ca.pem.new"
mv "$volumes/rabbitmq/ca.pem.new" "$volumes/rabbitmq/ca.pem"
