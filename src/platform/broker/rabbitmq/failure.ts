/** Tells in words what is wrong between Writ and RabbitMQ: each failure names the setting or the part that it comes from. */

import { AppError, type ErrorCode } from '../../../domain/error.ts';

/** AMQP 0-9-1 §1.2 reply codes. */
const replyCodes = { accessRefused: 403, notFound: 404, resourceLocked: 405, preconditionFailed: 406 } as const;

interface Diagnosis {
  matches: RegExp;
  code: ErrorCode;
  reason: string;
  message: string;
}

/**
 * What the TLS library, amqplib and RabbitMQ say when a connection is refused, most specific first. Those with the code `unavailable`
 * pass by themselves; the others want somebody to change something.
 */
const diagnoses: readonly Diagnosis[] = [
  {
    matches: /ERR_TLS_CERT_ALTNAME_INVALID/,
    code: 'invalid',
    reason: 'broker_name_wrong',
    message:
      "RabbitMQ's certificate is for another name than the host in RABBITMQ_URL. Use a name of the certificate, or set RABBITMQ_SSL_SERVERNAME.",
  },
  {
    matches:
      /SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|CERT_SIGNATURE_FAILURE|CERT_UNTRUSTED|INVALID_CA/,
    code: 'invalid',
    reason: 'broker_ca_wrong',
    message: "RabbitMQ's certificate is not signed by the authority in RABBITMQ_SSL_CAFILE.",
  },
  {
    matches: /ALERT_CERTIFICATE_EXPIRED|ALERT_CERTIFICATE_REVOKED/,
    code: 'invalid',
    reason: 'broker_client_certificate_expired',
    message: 'The certificate in RABBITMQ_SSL_CERTFILE has expired or was revoked.',
  },
  {
    matches: /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    code: 'invalid',
    reason: 'broker_certificate_expired',
    message:
      "The certificate of the RabbitMQ at RABBITMQ_URL has expired or is not valid yet. Renew it, or set this machine's clock.",
  },
  {
    matches: /ALERT_UNKNOWN_CA/,
    code: 'invalid',
    reason: 'broker_client_ca_unknown',
    message:
      'RabbitMQ does not know the authority of the certificate in RABBITMQ_SSL_CERTFILE: add it to the ssl_options.cacertfile of RabbitMQ.',
  },
  {
    matches: /ALERT_CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|ALERT_CERTIFICATE_UNKNOWN|ALERT_HANDSHAKE_FAILURE/,
    code: 'invalid',
    reason: 'broker_client_certificate_refused',
    message: 'RabbitMQ refuses the certificate in RABBITMQ_SSL_CERTFILE.',
  },
  {
    matches: /KEY_VALUES_MISMATCH|ERR_OSSL|ERR_CRYPTO|PEM routines|BAD_DECRYPT|MISSING_PASSPHRASE/,
    code: 'invalid',
    reason: 'broker_client_key_wrong',
    message:
      'RABBITMQ_SSL_CERTFILE and RABBITMQ_SSL_KEYFILE do not hold a certificate and its key, or RABBITMQ_SSL_PASSPHRASE does not open it.',
  },
  {
    matches: /SASL mechanism EXTERNAL is not provided/,
    code: 'invalid',
    reason: 'broker_mechanism_missing',
    message:
      'RabbitMQ does not offer EXTERNAL: enable the plugin rabbitmq_auth_mechanism_ssl and set auth_mechanisms.1 = EXTERNAL.',
  },
  {
    matches: /ACCESS[-_]REFUSED/,
    code: 'forbidden',
    reason: 'broker_login_refused',
    message: 'RabbitMQ knows no user of the common name of the certificate in RABBITMQ_SSL_CERTFILE.',
  },
  {
    // Where RabbitMQ refuses to open the virtual host, amqplib tells the kind of its answer and not the reply code in it.
    matches: /NOT[-_]ALLOWED|Expected ConnectionOpenOk; got <ConnectionClose/,
    code: 'forbidden',
    reason: 'broker_vhost_refused',
    message:
      'The virtual host in RABBITMQ_URL does not exist, the user of the certificate in RABBITMQ_SSL_CERTFILE has no permission there, or it takes no more connections.',
  },
  {
    matches: /WRONG_VERSION_NUMBER|EPROTO|UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION/,
    code: 'invalid',
    reason: 'broker_no_tls',
    message: 'What listens at RABBITMQ_URL does not speak TLS 1.2 or newer. Use the port of the TLS listener, 5671.',
  },
  {
    matches: /Frame size \d+ exceeds|Invalid frame|Unknown frame type|Expected ConnectionStart/,
    code: 'invalid',
    reason: 'broker_no_amqp',
    message:
      'What listens at RABBITMQ_URL speaks TLS but not AMQP 0-9-1. Use the port of the TLS listener for AMQP, 5671.',
  },
  {
    matches: /ECONNREFUSED/,
    code: 'unavailable',
    reason: 'broker_unreachable',
    message: 'RabbitMQ cannot be reached: nothing listens at RABBITMQ_URL.',
  },
  {
    matches: /ENOTFOUND|EAI_AGAIN/,
    code: 'unavailable',
    reason: 'broker_unreachable',
    message: 'RabbitMQ cannot be reached: the host in RABBITMQ_URL has no address.',
  },
  {
    matches: /ETIMEDOUT/,
    code: 'unavailable',
    reason: 'broker_unreachable',
    message: 'RabbitMQ cannot be reached: what is at RABBITMQ_URL does not answer in time.',
  },
  {
    matches: /ECONNRESET|EPIPE|disconnected before|closed abruptly/,
    code: 'unavailable',
    reason: 'broker_unreachable',
    message: 'RabbitMQ cannot be reached: what is at RABBITMQ_URL ends the connection before it has answered.',
  },
];

/** Why no connection came about. Code `unavailable` where it may pass by itself. */
export function connectFailure(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const text = textOf(error);
  const found = diagnoses.find(({ matches }) => matches.test(text));
  if (found !== undefined) return new AppError(found.code, found.message, { reason: found.reason }, error);
  return new AppError(
    'unavailable',
    'RabbitMQ cannot be reached at RABBITMQ_URL.',
    { reason: 'broker_unreachable' },
    error,
  );
}

/** Why one operation on a channel failed; the connection may be as good as before. */
export function channelFailure(error: unknown, describe: (code: number | undefined) => AppError | undefined): AppError {
  if (error instanceof AppError) return error;
  const code = replyCodeOf(error);
  const described = describe(code);
  if (described !== undefined) return described;
  if (code === replyCodes.accessRefused) {
    return new AppError(
      'forbidden',
      'RabbitMQ does not permit this to the user of the certificate.',
      { reason: 'broker_forbidden' },
      error,
    );
  }
  return new AppError(
    'unavailable',
    'The connection to RabbitMQ was lost.',
    { reason: 'broker_connection_lost' },
    error,
  );
}

export function isNotFound(code: number | undefined): boolean {
  return code === replyCodes.notFound;
}

/** Something exists in another form. */
export function isConflict(code: number | undefined): boolean {
  return code === replyCodes.preconditionFailed || code === replyCodes.resourceLocked;
}

/** The AMQP reply code of an error of amqplib's. */
export function replyCodeOf(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return `${code} ${error.message}`;
}
