#!/usr/bin/env bash
# Makes an authority and the certificates that it signs, each into the volume of whoever uses it. What is there and good for another
# month stays as it is. Run as root in the image writ-set-up, with the volumes below $VOLUMES.
set -euo pipefail
umask 077
volumes=${VOLUMES:-/volumes}
month_s=2592000

# Who runs in which container.
writ=1000:1000 postgres=999:999 rabbitmq=999:999 openbao=100:1000 nginx=101:101

own() { # OWNER MODE FILE…; without root everything stays with whoever runs this
  local owner=$1 mode=$2
  shift 2
  chmod "$mode" "$@"
  if [ "$(id -u)" = 0 ]; then chown "$owner" "$@"; fi
}

authority=$volumes/authority
if [ ! -s "$authority/ca.pem" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj '/CN=Writ compose CA' \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$authority/ca.key" -out "$authority/ca.pem.new" 2>/dev/null
  mv "$authority/ca.pem.new" "$authority/ca.pem"
  echo 'made an authority'
fi
cp "$authority/ca.pem" "$volumes/trust/ca.pem"
own 0:0 0444 "$volumes/trust/ca.pem"
own 0:0 0755 "$volumes/trust"

issue() { # OWNER VOLUME NAME COMMON-NAME USE [NAMES]
  local owner=$1 folder=$volumes/$2 name=$3 common_name=$4 use=$5 names=${6:-}
  local certificate=$folder/$name.pem key=$folder/$name.key
  own "$owner" 0700 "$folder"
  if openssl x509 -checkend "$month_s" -noout -in "$certificate" >/dev/null 2>&1 \
    && openssl verify -CAfile "$authority/ca.pem" "$certificate" >/dev/null 2>&1; then
    return
  fi
  local work
  work=$(mktemp -d)
  {
    echo 'basicConstraints=critical,CA:FALSE'
    echo 'keyUsage=critical,digitalSignature'
    echo "extendedKeyUsage=$use"
    if [ -n "$names" ]; then echo "subjectAltName=$names"; fi
  } > "$work/extensions"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$common_name" \
    -keyout "$work/key" -out "$work/request" 2>/dev/null
  openssl x509 -req -in "$work/request" -CA "$authority/ca.pem" -CAkey "$authority/ca.key" -days 365 \
    -extfile "$work/extensions" -out "$work/certificate" 2>/dev/null
  mv "$work/key" "$key"
  mv "$work/certificate" "$certificate"
  rm -r "$work"
  own "$owner" 0400 "$key"
  own "$owner" 0444 "$certificate"
  echo "made a certificate for $common_name ($2/$name.pem)"
}

issue "$postgres" postgres server postgres serverAuth DNS:postgres
issue "$openbao" openbao server openbao serverAuth DNS:openbao
issue "$rabbitmq" rabbitmq server rabbitmq serverAuth DNS:rabbitmq,DNS:localhost,IP:127.0.0.1
issue "$nginx" nginx server nginx serverAuth DNS:nginx,DNS:localhost,IP:127.0.0.1
issue "$writ" orchestrator server orchestrator serverAuth DNS:orchestrator,DNS:orchestrator-1,DNS:orchestrator-2
# The common name of a client is its user at RabbitMQ.
issue "$writ" orchestrator rabbitmq writ-orchestrator clientAuth
issue "$writ" consumer consumer writ-consumer clientAuth

# By this RabbitMQ knows the orchestrators when it asks them; who may connect to it is added when OpenBao is set up.
cp "$authority/ca.pem" "$volumes/rabbitmq/orchestrator-ca.pem"
own "$rabbitmq" 0444 "$volumes/rabbitmq/orchestrator-ca.pem"
own "$openbao" 0700 "$volumes/openbao-data"
