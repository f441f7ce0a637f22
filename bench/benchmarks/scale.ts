/** What changes with more nodes, orchestrators and principals, larger payloads, and tools that do something. */

import { createServer, type AddressInfo } from 'node:net';
import type { Row } from '../measure/outcome.ts';
import { inTurn } from '../measure/turns.ts';
import type { Benchmark, Installation, Session } from '../session.ts';
import { turnsOf, writContender, type WritLoad } from './contenders.ts';
import { principals } from './principals.ts';

const tasksNormal = 30_000;
/** Bytes of one call; the API takes 1 MiB. */
const callMaxBytes = 900_000;
/** Tasks that do something are fewer. */
const connectShare = 0.3;
const programShare = 0.03;

export const scale: Benchmark = {
  name: 'scale',
  line: 'nodes, orchestrators, principals, payload sizes, tcp.connect and programs',
  run: async (session) => {
    const installation = await session.installation({}, true);
    const rows: Row[] = [];
    const measure = async (name: string, load: Partial<WritLoad> = {}): Promise<void> => {
      const whole = { tasks: session.tasks(tasksNormal), ...load };
      const contender = writContender(name, installation, whole, session);
      rows.push(...(await inTurn([contender], turnsOf(session, []))));
    };
    await measure('1 node, 1 orchestrator, 1 principal');
    await payloads(session, measure);
    for (const count of [10, 100]) {
      await measure(`${count} principals`, { tokens: await principals(installation.writ, count) });
    }
    await tools(session, measure);
    await orchestrators(installation, measure);
    for (const count of [2, 4]) {
      while (installation.writ.nodeCount() < count) await installation.writ.addNode();
      await measure(`${count} nodes`);
    }
    const tasks = session.tasks(tasksNormal).toLocaleString('en');
    return {
      name: 'scale',
      title: `${tasks} no-op tasks, all else as in throughput; each line on its own, one after the other`,
      rows,
      notes: [
        'payloads come back as output: both ways are of that size; batches are smaller where 500 are too large a call',
      ],
    };
  },
};

type Measure = (name: string, load?: Partial<WritLoad>) => Promise<void>;

async function payloads(session: Session, measure: Measure): Promise<void> {
  const tasks = session.tasks(tasksNormal);
  for (const [name, bytes, share] of [
    ['200 B', 200, 1],
    ['4 KiB', 4096, 0.3],
    ['64 KiB', 65_536, 0.05],
  ] as const) {
    const size = Math.max(1, Math.min(500, Math.floor(callMaxBytes / (bytes + 100))));
    const task = { tool: 'noop', action: 'run', payload: { output: 'x'.repeat(bytes) } };
    await measure(`payload ${name}`, { task, size, tasks: Math.ceil(tasks * share) });
  }
}

async function tools(session: Session, measure: Measure): Promise<void> {
  const tasks = session.tasks(tasksNormal);
  const listener = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  const stop = session.cleanup.add(() => new Promise((resolve) => listener.close(() => resolve())));
  await new Promise((resolve) => listener.once('listening', resolve));
  const payload = { host: '127.0.0.1', port: (listener.address() as AddressInfo).port };
  await measure('tcp.connect to this machine', {
    task: { tool: 'tcp', action: 'connect', payload },
    tasks: Math.ceil(tasks * connectShare),
  });
  await stop();
  await measure('system.uname (process.run)', {
    task: { tool: 'system', action: 'uname', payload: {} },
    tasks: Math.ceil(tasks * programShare),
  });
}

async function orchestrators({ writ }: Installation, measure: Measure): Promise<void> {
  const second = await writ.addOrchestrator();
  await measure('2 orchestrators', { urls: [writ.url, second.url] });
  await second.stop();
}
