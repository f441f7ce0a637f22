#!/usr/bin/env bash
# Sets up Vault or OpenBao for Writ. Run it again at any time: what is there already stays as it is, and it says so.
#
#   VAULT_ADDR=… VAULT_TOKEN=… VAULT_CACERT=… vault/set-up.sh
#
# The token needs the rights to enable engines and to write policies. It prints no secret.
#
#   VAULT_CLI               the program to call; default: bao, else vault
#   WRIT_MANIFEST_KEY_TYPE  ecdsa-p256 (default) or ed25519, as VAULT_TRANSIT_KEY_TYPE of the orchestrators
#   WRIT_TOKEN_TTL          lifetime of an orchestrator's token between renewals; default 1h
#   WRIT_TOKEN_MAX_TTL      and after which it logs in again; default 24h
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cli=${VAULT_CLI:-$(command -v bao || command -v vault || true)}
[ -n "$cli" ] || { echo 'set-up: neither bao nor vault is on the PATH; name one by VAULT_CLI' >&2; exit 1; }
manifest_key_type=${WRIT_MANIFEST_KEY_TYPE:-ecdsa-p256}
token_ttl=${WRIT_TOKEN_TTL:-1h}
token_max_ttl=${WRIT_TOKEN_MAX_TTL:-24h}
root_ttl=87600h # 10 years

say() { printf '%-11s%s\n' "$1" "$2"; }
fail() { echo "set-up: $1" >&2; exit 1; }

# What lies at a path, as a table; nothing where nothing is. Whatever else is wrong fails at the write that follows.
look() { "$cli" read "$@" 2>/dev/null || true; }

engine() { # TYPE PATH [FLAG]...
  local type=$1 path=$2 present
  shift 2
  present=$(look -field=type "sys/mounts/$path")
  if [ -z "$present" ]; then
    "$cli" secrets enable "-path=$path" "$@" "$type" >/dev/null
    say enabled "secrets engine $type at $path/"
  elif [ "$present" = "$type" ]; then
    say there "secrets engine $type at $path/"
  else
    fail "at $path/ is an engine of type $present, not $type"
  fi
}

key() { # NAME TYPE
  local present
  present=$(look -field=type "transit/keys/$1")
  if [ -z "$present" ]; then
    "$cli" write -f "transit/keys/$1" "type=$2" exportable=false allow_plaintext_backup=false >/dev/null
    say made "key transit/$1, $2"
  elif [ "$present" = "$2" ]; then
    [ "$(look -field=exportable "transit/keys/$1")" = false ] || fail "the key transit/$1 can be exported: make another"
    say there "key transit/$1, $2"
  else
    fail "the key transit/$1 is of type $present, not $2"
  fi
}

role() { # PATH PARAMETER...
  local path=$1 before said=written
  shift
  before=$(look "$path")
  "$cli" write "$path" "$@" >/dev/null
  if [ -n "$before" ] && [ "$before" = "$(look "$path")" ]; then said=there; fi
  say "$said" "role $path"
}

policy() { # NAME
  if [ "$("$cli" policy read "$1" 2>/dev/null || true)" = "$(cat "$here/$1.hcl")" ]; then
    say there "policy $1"
  else
    "$cli" policy write "$1" "$here/$1.hcl" >/dev/null
    say written "policy $1"
  fi
}

# Keys that sign. Nobody can take them out.
engine transit transit
key writ-manifest "$manifest_key_type"
key writ-log ed25519

# The mark of the audit log. Version 2 has check-and-set.
engine kv kv -version=2
look -field=options sys/mounts/kv | grep -q 'version:2' || fail 'kv/ is not version 2 of the engine: "kv enable-versioning kv"'

# The authority of node certificates.
engine pki pki "-max-lease-ttl=$root_ttl"
if [ -n "$(look -field=certificate pki/cert/ca)" ]; then
  say there 'root certificate in pki/'
else
  "$cli" write pki/root/generate/internal 'common_name=Writ root' key_type=ec key_bits=256 "ttl=$root_ttl" >/dev/null
  say made 'root certificate in pki/, EC P-256'
fi
# Who asks decides the names: an orchestrator has checked them, and what a request holds is not believed. Certificates are short-lived
# and there are many: they are not stored, so not revoked either (a node that was removed is refused by the orchestrators).
names=(allow_any_name=true enforce_hostnames=false use_csr_common_name=false use_csr_sans=false)
form=(key_type=any key_usage=DigitalSignature no_store=true max_ttl=9600h)
role pki/roles/writ-node "${names[@]}" "${form[@]}" client_flag=true server_flag=false
role pki/roles/writ-server "${names[@]}" "${form[@]}" client_flag=false server_flag=true

policy writ-orchestrator
policy writ-key-rotator

# How orchestrators log in.
if [ "$(look -field=type sys/auth/approle)" = approle ]; then
  say there 'auth method approle at approle/'
else
  "$cli" auth enable approle >/dev/null
  say enabled 'auth method approle at approle/'
fi
role auth/approle/role/writ-orchestrator token_policies=writ-orchestrator token_no_default_policy=true \
  "token_ttl=$token_ttl" "token_max_ttl=$token_max_ttl" bind_secret_id=true

program=$(basename "$cli")
cat <<EOF

For each orchestrator:
  VAULT_ROLE_ID            $program read -field=role_id auth/approle/role/writ-orchestrator/role-id
  VAULT_WRAPPED_SECRET_ID  $program write -wrap-ttl=10m -field=wrapping_token -f auth/approle/role/writ-orchestrator/secret-id
EOF
