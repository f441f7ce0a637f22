/** A good set for `writ doctor`: settings of an orchestrator on the services of the run, of which a test sets one thing wrong. */

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { freePorts } from '../../../scripts/services/ports.ts';
import type { OpenBaoService } from '../../../scripts/services/openbao.ts';
import type { RabbitMqService } from '../../../scripts/services/rabbitmq.ts';
import { runDoctor, type DoctorOptions } from '../../../src/app/doctor/doctor.ts';
import type { Finding } from '../../../src/app/doctor/finding.ts';
import { startServe, type Serving } from '../../../src/app/serve.ts';
import type { Clock } from '../../../src/domain/clock.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { testOpenBao, testRabbitMq } from '../../support/services.ts';

export type Environment = Readonly<Record<string, string>>;

export interface DoctorRig {
  rabbitMq: RabbitMqService;
  openBao: OpenBaoService;
  database: TestDatabase;
  vhost: string;
  /** All as it has to be. */
  environment: Environment;
  /** Findings with some settings changed; those that are empty are not set. */
  run(changes?: Environment, options?: Partial<DoctorOptions>): Promise<Finding[]>;
  /** An orchestrator on the same settings; whoever starts it stops it. */
  serve(changes?: Environment): Promise<Serving>;
  stop(): Promise<void>;
}

/** Makes a database and a virtual host of its own; nothing is declared in it yet. */
export async function makeDoctorRig(): Promise<DoctorRig> {
  const [rabbitMq, openBao] = [await testRabbitMq(), await testOpenBao()];
  const database = await createTestDatabase();
  const vhost = `doctor-${randomUUID()}`;
  await rabbitMq.createVhost(vhost);
  const [httpPort, closedPort] = await freePorts(2);
  const client = rabbitMq.certificate('writ-orchestrator');
  const environment: Environment = {
    DATABASE_URL: database.url,
    HTTP_LISTEN: `127.0.0.1:${String(httpPort)}`,
    RABBITMQ_URL: `${rabbitMq.url}/${vhost}`,
    RABBITMQ_SSL_CAFILE: rabbitMq.caPath,
    RABBITMQ_SSL_CERTFILE: client.certPath,
    RABBITMQ_SSL_KEYFILE: client.keyPath,
    RABBITMQ_MANAGEMENT_URL: rabbitMq.managementUrl,
    RABBITMQ_MANAGEMENT_USER: rabbitMq.managementUser,
    RABBITMQ_MANAGEMENT_PASSWORD: rabbitMq.managementPassword,
    BROKER_AUTH_LISTEN: `127.0.0.1:${rabbitMq.nodeAuthPort.toString()}`,
    VAULT_ADDR: openBao.url,
    VAULT_CACERT: openBao.caPath,
    VAULT_ROLE_ID: openBao.roleId,
    VAULT_SECRET_ID: await openBao.newSecretId(),
    LOG_LEVEL: 'error',
  };
  return {
    ...{ rabbitMq, openBao, database, vhost, environment },
    run: (changes = {}, options = {}) =>
      runDoctor({ environment: changed(environment, changes), plainAmqpPort: closedPort!, ...options }),
    serve: (changes = {}) => startServe({ environment: changed(environment, changes), log: () => undefined }),
    stop: async () => {
      await database.drop();
      await rabbitMq.deleteVhost(vhost);
    },
  };
}

/** What is empty is not set. */
export function changed(environment: Environment, changes: Environment): Environment {
  return Object.fromEntries(Object.entries({ ...environment, ...changes }).filter(([, value]) => value !== ''));
}

/** A clock that is wrong by so much. */
export function clockAhead(byMs: number): Clock {
  return { now: () => Date.now() + byMs, monotonicMs: () => performance.now() };
}

/** One check has this level, and its words match; what to do is said wherever something is wrong. */
export function expectFinding(
  findings: readonly Finding[],
  check: string,
  level: Finding['level'],
  words: RegExp,
): void {
  const found = findings.filter((finding) => finding.check === check);
  const told = found.map((finding) => `${finding.level} ${finding.message}`);
  expect(told, `of ${findings.map((finding) => finding.check).join(', ')}`).to.have.length.above(0);
  const match = found.find((finding) => finding.level === level && words.test(finding.message));
  expect(match, `${level} ${String(words)} in ${told.join('\n')}`).not.to.equal(undefined);
}

/** Checks that found something wrong, with their levels. */
export function troubles(findings: readonly Finding[]): string[] {
  return findings.filter(({ level }) => level !== 'ok').map(({ check, level }) => `${level} ${check}`);
}
