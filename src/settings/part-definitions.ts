/** Settings of the parts that Writ works with: database, broker, keys. */

import { z } from 'zod';
import { count, define, defineSecret, optionalListen, path } from './definition.ts';

/** What may become a part of a path at Vault. */
const vaultName = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'letters, digits, "_ -", 128 at most');

export const partDefinitions = {
  database_url: {
    ...define('DATABASE_URL', z.string(), '', 'PostgreSQL, postgres://…; embedded in writ dev, else required.'),
    isSecret: true,
  },
  database_pool_max: define('DATABASE_POOL_MAX', count.min(2).max(1000), 16, 'Connections to PostgreSQL at most.'),
  broker: define(
    'BROKER',
    z.enum(['in-process', 'rabbitmq']),
    'rabbitmq',
    'What carries orders, receipts and telemetry; in-process in writ dev.',
  ),
  rabbitmq_url: define(
    'RABBITMQ_URL',
    z.string(),
    'amqps://localhost:5671',
    'RabbitMQ, amqps://HOST:PORT/VHOST; amqp:// is refused.',
  ),
  node_rabbitmq_url: define(
    'NODE_RABBITMQ_URL',
    z.string(),
    '',
    'Address of RabbitMQ as nodes reach it; RABBITMQ_URL where it is empty.',
  ),
  rabbitmq_ssl_cafile: define(
    'RABBITMQ_SSL_CAFILE',
    path,
    '',
    'Authorities that may have signed RabbitMQ’s certificate, PEM file; nodes are given it when they join.',
  ),
  rabbitmq_ssl_certfile: define(
    'RABBITMQ_SSL_CERTFILE',
    path,
    '',
    'Client certificate with its chain, PEM file; its common name is the user.',
  ),
  rabbitmq_ssl_keyfile: define('RABBITMQ_SSL_KEYFILE', path, '', 'Key of the client certificate, PEM file.'),
  rabbitmq_ssl_passphrase: defineSecret(
    'RABBITMQ_SSL_PASSPHRASE',
    'Opens RABBITMQ_SSL_KEYFILE, where that is encrypted.',
  ),
  rabbitmq_ssl_servername: define(
    'RABBITMQ_SSL_SERVERNAME',
    z.string(),
    '',
    'Name to look for in RabbitMQ’s certificate; the host of the address where it is empty.',
  ),
  rabbitmq_management_url: define(
    'RABBITMQ_MANAGEMENT_URL',
    z.string(),
    '',
    'RabbitMQ’s management API, asked by writ doctor alone.',
  ),
  rabbitmq_management_user: define(
    'RABBITMQ_MANAGEMENT_USER',
    z.string(),
    '',
    'User of the management API with the tag monitoring.',
  ),
  rabbitmq_management_password: defineSecret('RABBITMQ_MANAGEMENT_PASSWORD', 'Password of that user.'),
  broker_auth_listen: define(
    'BROKER_AUTH_LISTEN',
    optionalListen,
    '',
    'Address at which RabbitMQ asks about nodes; empty for none. Off loopback it speaks TLS with HTTP_TLS_CERTFILE.',
  ),
  signer: define(
    'SIGNER',
    z.enum(['local', 'vault']),
    'vault',
    'Where keys, node certificates and the mark live; local in writ dev.',
  ),
  keys_dir: define(
    'KEYS_DIR',
    path,
    '',
    'Folder of the keys with SIGNER=local, and of the local authority, outside of writ dev.',
  ),
  vault_addr: define('VAULT_ADDR', z.string(), 'https://127.0.0.1:8200', 'Vault or OpenBao.'),
  vault_token: defineSecret('VAULT_TOKEN', 'Token; without it VAULT_ROLE_ID and VAULT_SECRET_ID log in.'),
  vault_role_id: define('VAULT_ROLE_ID', z.string(), '', 'AppRole.'),
  vault_secret_id: defineSecret('VAULT_SECRET_ID', 'Secret id of the AppRole.'),
  vault_wrapped_secret_id: defineSecret(
    'VAULT_WRAPPED_SECRET_ID',
    'Response-wrapped secret id, unwrapped once at start.',
  ),
  vault_namespace: define('VAULT_NAMESPACE', z.string(), '', 'Namespace, where there are some.'),
  vault_verify_tls: define('VAULT_VERIFY_TLS', z.stringbool(), true, 'Whether the certificate of Vault is checked.'),
  vault_cacert: define(
    'VAULT_CACERT',
    path,
    '',
    'Authority of Vault’s certificate, PEM file; the system’s where it is empty.',
  ),
  vault_require_https: define('VAULT_REQUIRE_HTTPS', z.stringbool(), true, 'Whether an http:// address is refused.'),
  vault_transit_mount: define('VAULT_TRANSIT_MOUNT', vaultName, 'transit', 'Mount of Transit.'),
  vault_transit_key_name: define('VAULT_TRANSIT_KEY_NAME', vaultName, 'writ-manifest', 'Key that signs manifests.'),
  vault_transit_key_type: define(
    'VAULT_TRANSIT_KEY_TYPE',
    z.enum(['ecdsa-p256', 'ed25519']),
    'ecdsa-p256',
    'Type of the key that signs manifests.',
  ),
  vault_transit_log_key_name: define(
    'VAULT_TRANSIT_LOG_KEY_NAME',
    vaultName,
    'writ-log',
    'Key that signs checkpoints; Ed25519.',
  ),
  vault_transit_auto_create_key: define(
    'VAULT_TRANSIT_AUTO_CREATE_KEY',
    z.stringbool(),
    false,
    'Whether missing keys are made.',
  ),
  vault_kv_mount: define('VAULT_KV_MOUNT', vaultName, 'kv', 'Mount of KV version 2, which keeps the mark.'),
  vault_pki_mount: define('VAULT_PKI_MOUNT', vaultName, 'pki', 'Mount of the authority of node certificates.'),
  vault_pki_role: define('VAULT_PKI_ROLE', vaultName, 'writ-node', 'Role of node certificates.'),
} as const;
