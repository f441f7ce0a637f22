/** A process that starts a service and is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('start-service.ts', import.meta.url));

/** Answers when the service ran and the process that started it is dead by SIGKILL. */
export async function startAndDie(service: 'rabbitmq' | 'openbao', dir: string): Promise<void> {
  const child = spawn(process.execPath, ['--import=tsx', PROGRAM, service, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const first = await Promise.race([once(child.stdout, 'data'), exited]);
  if (String(first[0]).trim() !== 'started') throw new Error(`the service did not start: ${String(first[0])}`);
  child.kill('SIGKILL');
  await exited;
}
