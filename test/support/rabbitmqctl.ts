/** `rabbitmqctl` on a RabbitMQ of the tests, for what its management API cannot do. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findRabbitMq } from '../../scripts/services/rabbitmq.ts';

const run = promisify(execFile);

/** Where a server of the test's own lies, and the port of its port mapper, both as it was started with. */
export interface ControlledServer {
  dir: string;
  epmdPort: number;
}

/** Runs one command and answers what it said. */
export async function rabbitMqCtl({ dir, epmdPort }: ControlledServer, args: readonly string[]): Promise<string> {
  const program = join(dirname(findRabbitMq() ?? ''), 'rabbitmqctl');
  const environment = {
    PATH: process.env['PATH'],
    LC_ALL: 'C.UTF-8',
    HOME: join(dir, 'home'),
    ERL_EPMD_PORT: epmdPort.toString(),
    RABBITMQ_NODENAME: readFileSync(join(dir, 'node-name'), 'utf8'),
  };
  return (await run(program, ['--quiet', ...args], { env: environment })).stdout;
}
