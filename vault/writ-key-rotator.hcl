# What rotating the key of manifests takes, for a person or a job that is no orchestrator: who signs orders does not change keys.

path "transit/keys/writ-manifest" {
  capabilities = ["read"]
}
path "transit/keys/writ-manifest/rotate" {
  capabilities = ["update"]
}
# Which version signs at least, and which still verify.
path "transit/keys/writ-manifest/config" {
  capabilities = ["update"]
}
