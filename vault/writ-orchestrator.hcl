# What an orchestrator may do at Vault or OpenBao, and nothing else: sign with two keys it never sees, have certificates of nodes
# signed, and keep the log's mark. Names of mounts and keys are those of the settings' defaults.

# Manifests, in batches; with the hash algorithm in the path where a digest is sent.
path "transit/sign/writ-manifest" {
  capabilities = ["update"]
}
path "transit/sign/writ-manifest/*" {
  capabilities = ["update"]
}

# Checkpoints of the audit log.
path "transit/sign/writ-log" {
  capabilities = ["update"]
}
path "transit/sign/writ-log/*" {
  capabilities = ["update"]
}

# Public keys of all their versions.
path "transit/keys/writ-manifest" {
  capabilities = ["read"]
}
path "transit/keys/writ-log" {
  capabilities = ["read"]
}

# The log's high-water mark, moved by check-and-set. It is never deleted.
path "kv/data/writ/marks/*" {
  capabilities = ["create", "read", "update"]
}

# Client certificates of nodes, and the authority's own certificate.
path "pki/sign/writ-node" {
  capabilities = ["update"]
}
path "pki/cert/ca" {
  capabilities = ["read"]
}
path "pki/cert/ca_chain" {
  capabilities = ["read"]
}
path "pki/ca/pem" {
  capabilities = ["read"]
}

# Its own token. The role takes away the policy "default", which would allow these and more.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
