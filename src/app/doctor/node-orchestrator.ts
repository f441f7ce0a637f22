/** The orchestrator as a node reaches it. */

import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import { isLoopbackUrl } from '../../settings/client-settings.ts';
import type { Settings } from '../../settings/settings.ts';
import { readOptionalFile } from '../read-setting-file.ts';
import { examineEnd } from './certificates.ts';
import { examineClock, readDateHeader } from './clock-skew.ts';
import type { Examination } from './finding.ts';
import { callHttp, callProblem, type HttpAnswer } from './http-call.ts';

const check = 'orchestrator';

/** Asks whether it is alive, which needs no credential: a heartbeat would be the node's own. */
export async function examineOrchestrator(examination: Examination, settings: Settings, clock: Clock): Promise<void> {
  const url = settings.orchestrator_url.replace(/\/$/, '');
  const ca = readOptionalFile('ORCHESTRATOR_CACERT', settings.orchestrator_cacert);
  const beforeMs = clock.now();
  let answer: HttpAnswer;
  try {
    answer = await callHttp({ url: `${url}/api/v1/health`, ca });
  } catch (error) {
    const authority = ca === undefined ? "the system's authorities: set ORCHESTRATOR_CACERT" : 'ORCHESTRATOR_CACERT';
    const words = callProblem(error, { address: 'ORCHESTRATOR_URL', authority });
    examination.fail(check, `The orchestrator ${words}.`, 'Look whether it runs, and at ORCHESTRATOR_URL.');
    return;
  }
  const afterMs = clock.now();
  if (answer.status !== 200 || !answer.body.includes('"ok"')) {
    const message = 'What answers at ORCHESTRATOR_URL is no orchestrator.';
    examination.fail(check, message, 'It is the address of the API, without a path.');
    return;
  }
  if (url.startsWith('http:') && !isLoopbackUrl(url)) {
    const message = 'The orchestrator answers; the credential of the node crosses the network unencrypted.';
    examination.warn(check, message, 'Use an https:// address.');
  } else examination.ok(check, 'The orchestrator answers.');
  if (answer.certificate !== undefined) {
    const named = { name: "The orchestrator's certificate", certificate: new X509Certificate(answer.certificate) };
    examineEnd(examination, 'orchestrator certificate', { ...named, hint: 'Renew it on the orchestrator.' }, clock);
  }
  const date = readDateHeader(answer.date);
  if (date !== undefined) examineClock(examination, 'clock', 'the orchestrator', { ...date, beforeMs, afterMs });
}
