/** The orchestrator that runs here, where one does, and the door at which RabbitMQ asks about nodes. */

import { X509Certificate } from 'node:crypto';
import type { Settings } from '../../settings/settings.ts';
import { isLoopback, parseListen } from '../listeners.ts';
import { readSettingFile } from '../read-setting-file.ts';
import type { Examination } from './finding.ts';
import { callHttp, callProblem, type HttpAnswer } from './http-call.ts';

const check = 'writ serve';

export async function examineServing(examination: Examination, settings: Settings): Promise<void> {
  const isTls = settings.http_tls_certfile !== '';
  const isRunning = await examineReady(examination, settings, isTls);
  await examineBrokerAuth(examination, settings, isRunning);
}

async function examineReady(examination: Examination, settings: Settings, isTls: boolean): Promise<boolean> {
  let answer: HttpAnswer;
  try {
    answer = await callListener(settings.http_listen, '/api/v1/ready', isTls);
  } catch {
    examination.ok(check, `No writ serve runs at HTTP_LISTEN (${settings.http_listen}) now.`);
    return false;
  }
  const readiness = readinessIn(answer.body);
  if (readiness === undefined) {
    const message = `What answers at HTTP_LISTEN (${settings.http_listen}) is no writ serve.`;
    examination.fail(check, message, 'Stop it, or choose another address.');
    return false;
  }
  examineServedCertificate(examination, settings, answer);
  const bad = Object.entries(readiness.parts).filter(([, { ok }]) => !ok);
  const told = bad.map(([name, { detail }]) => `${name}${detail === undefined ? '' : ` (${detail})`}`).join('; ');
  if (readiness.ready) examination.ok(check, 'writ serve runs here and is ready.');
  else
    examination.fail(
      check,
      `writ serve runs here and is not ready: ${told}.`,
      'Mend what fails here; its log has more.',
    );
  return true;
}

/** A renewed file is served after the next start. */
function examineServedCertificate(examination: Examination, settings: Settings, { certificate }: HttpAnswer): void {
  if (certificate === undefined) return;
  const inFile = new X509Certificate(readSettingFile('HTTP_TLS_CERTFILE', settings.http_tls_certfile));
  if (new X509Certificate(certificate).fingerprint256 === inFile.fingerprint256) return;
  const message = 'writ serve shows another certificate than that in HTTP_TLS_CERTFILE.';
  examination.warn(check, message, 'Start writ serve again, and it takes the one in the file.');
}

/** A question that is none: the door denies it, and nothing is recorded. */
async function examineBrokerAuth(examination: Examination, settings: Settings, isRunning: boolean): Promise<void> {
  const name = 'broker auth';
  const { broker_auth_listen: address } = settings;
  if (address === '') {
    const message = 'BROKER_AUTH_LISTEN is not set: RabbitMQ cannot ask this orchestrator about nodes.';
    examination.warn(name, message, 'Set it, unless nodes are asked about elsewhere: rabbitmq/README.md, "Nodes".');
    return;
  }
  if (!isRunning) {
    examination.ok(name, 'Not asked: no writ serve runs here now.');
    return;
  }
  const isTls = settings.http_tls_certfile !== '' && !isLoopback(parseListen(address).host);
  const hint = 'Compare it with auth_http.user_path and its like in rabbitmq.conf.';
  try {
    const { status, body } = await callListener(address, '/rabbitmq/user', isTls);
    if (status === 200 && body === 'deny') {
      examination.ok(name, `writ serve answers about nodes at BROKER_AUTH_LISTEN (${address}).`);
      return;
    }
    examination.fail(name, `What answers at BROKER_AUTH_LISTEN (${address}) is no writ serve.`, hint);
  } catch (error) {
    const names = { address: `BROKER_AUTH_LISTEN (${address})`, authority: 'HTTP_TLS_CERTFILE' };
    examination.fail(name, `What RabbitMQ asks about nodes ${callProblem(error, names)}.`, hint);
  }
}

/** Calls a listener of this machine; whose it is is not told by its certificate, which is for another name. */
function callListener(address: string, path: string, isTls: boolean): Promise<HttpAnswer> {
  const { host, port } = parseListen(address);
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const named = reached.includes(':') ? `[${reached}]` : reached;
  return callHttp({ url: `${isTls ? 'https' : 'http'}://${named}:${port.toString()}${path}`, verifyTls: false });
}

interface Readiness {
  ready: boolean;
  parts: Record<string, { ok: boolean; detail?: string }>;
}

function readinessIn(body: string): Readiness | undefined {
  try {
    const { ready, parts } = JSON.parse(body) as Partial<Readiness>;
    return typeof ready === 'boolean' && typeof parts === 'object' ? { ready, parts } : undefined;
  } catch {
    return undefined;
  }
}
