# One OpenBao server: what it knows lies in a volume, sealed with a key of its own that lies elsewhere.

storage "raft" {
  path    = "/var/lib/openbao"
  node_id = "openbao"
  # One server alone need not wait long for others.
  performance_multiplier = 1
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "127.0.0.1:8201"
  tls_cert_file   = "/run/openbao/server.pem"
  tls_key_file    = "/run/openbao/server.key"
  tls_min_version = "tls12"
}

# Opens the seal at each start. Whoever holds this file and the volume holds all keys: a KMS or an HSM is better (docs of OpenBao, seal).
seal "static" {
  current_key_id = "1"
  current_key    = "file:///run/secrets/openbao_seal_key"
}

api_addr     = "https://openbao:8200"
cluster_addr = "https://127.0.0.1:8201"
log_level    = "warn"
