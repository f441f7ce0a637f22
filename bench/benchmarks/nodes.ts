/** Many nodes that report: what they cost an orchestrator, and how long it takes to join and to be looked at. */

import type { FleetReport } from '../load/fleet.ts';
import { rssMb } from '../measure/processes.ts';
import { percentile } from '../measure/spread.ts';
import type { Benchmark, Session } from '../session.ts';
import { startHelper, type Helper } from '../systems/helper.ts';
import type { Writ } from '../systems/writ.ts';

const everyS = 10;
const readsNormal = 300;
const warmUpS = 40;
/** Tokens made before nodes join by them. */
const joinsAtOnce = 50;

export const nodes: Benchmark = {
  name: 'nodes',
  line: 'simulated nodes with heartbeats every 10 s: CPU, memory, times of calls (--nodes)',
  run: async (session) => {
    const { nodes: count, isQuick } = session.options;
    const seconds = isQuick ? 2 : 60;
    const { writ } = await session.installation({}, true);
    const fleet = await startHelper('load/fleet.ts', {}, session.cleanup);
    try {
      const idle = await usedWhile(writ, () => new Promise((resolve) => setTimeout(resolve, isQuick ? 500 : 20_000)));
      // One node reports as often as all of them will: what calls cost in memory is not what nodes cost.
      const [first] = (await joinAll(writ, fleet, 1)).callsMs;
      await fleet.call('beatFor', { seconds: isQuick ? 1 : warmUpS, everyS: everyS / count });
      const beforeMb = await rssMb(writ.orchestratorPid());
      session.say(`${count} nodes join`);
      const joins = await joinAll(writ, fleet, count - 1);
      joins.callsMs.push(first ?? 0);
      // The first report of each brings what it does not know yet.
      await fleet.call('beatFor', { seconds: isQuick ? 2 : everyS, everyS: isQuick ? 2 : everyS });
      session.say(`${count} nodes report for ${seconds} s`);
      let beats: FleetReport = { callsMs: [], failed: 0 };
      const busy = await usedWhile(writ, async () => {
        beats = await fleet.call<FleetReport>('beatFor', { seconds, everyS: isQuick ? 2 : everyS });
      });
      const afterMb = await rssMb(writ.orchestratorPid());
      const look = await looks(writ, session, isQuick ? 20 : readsNormal);
      const row = (name: string, figures: Record<string, number>) => ({ name, isWrit: true, samples: [{ figures }] });
      return {
        name: 'nodes',
        title: `${count.toLocaleString('en')} nodes, a heartbeat of each every ${isQuick ? 2 : everyS} s`,
        rows: [
          row('orchestrator', {
            percent_of_core: busy.orchestrator ?? 0,
            percent_without_nodes: idle.orchestrator ?? 0,
            rss_mb_per_100_nodes: ((afterMb - beforeMb) * 100) / count,
          }),
          row('PostgreSQL', { percent_of_core: busy.PostgreSQL ?? 0, percent_without_nodes: idle.PostgreSQL ?? 0 }),
          row('RabbitMQ', { percent_of_core: busy.RabbitMQ ?? 0, percent_without_nodes: idle.RabbitMQ ?? 0 }),
          row('registration', timesOf(joins.callsMs)),
          row('heartbeat', { ...timesOf(beats.callsMs), failed: beats.failed }),
          row(look.name, timesOf(look.callsMs)),
        ],
        notes: ['registrations come one after the other, each with a certificate for the broker'],
      };
    } finally {
      await fleet.stop();
    }
  },
};

/** In parts: a join token does not live long. */
async function joinAll({ client, url }: Writ, fleet: Helper, count: number): Promise<FleetReport> {
  const callsMs: number[] = [];
  for (let from = 0; from < count; from += joinsAtOnce) {
    const tokens: string[] = [];
    for (let n = from + 1; n <= Math.min(count, from + joinsAtOnce); n++) {
      const request = { name: `simulated-${n}`, kind: 'join' as const, roles: [], expires_in_s: 900 };
      tokens.push((await client.createToken(request)).token);
    }
    callsMs.push(...(await fleet.call<FleetReport>('joinAll', { url, tokens })).callsMs);
  }
  return { callsMs, failed: 0 };
}

/** Share of one core that each process used meanwhile, percent. */
async function usedWhile(writ: Writ, work: () => Promise<void>): Promise<Partial<Record<string, number>>> {
  const startedMs = performance.now();
  const before = await writ.cpuMs();
  await work();
  const after = await writ.cpuMs();
  const tookMs = performance.now() - startedMs;
  return Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, ((ms - before[name]!) * 100) / tookMs]));
}

/** Reads one node, or where there is no such route a page of one. */
async function looks(writ: Writ, session: Session, count: number): Promise<{ name: string; callsMs: number[] }> {
  const headers = { authorization: `Bearer ${writ.token}` };
  const list = await fetch(`${writ.url}/api/v1/nodes?limit=1`, { headers });
  const { nodes: found } = (await list.json()) as { nodes: { id: string }[] };
  const one = `/api/v1/nodes/${found[0]?.id ?? ''}`;
  const hasOne = (await fetch(writ.url + one, { headers })).ok;
  const path = hasOne ? one : '/api/v1/nodes?limit=1';
  const callsMs: number[] = [];
  for (let n = 0; n < count; n++) {
    const startedMs = performance.now();
    const answer = await fetch(writ.url + path, { headers });
    await answer.arrayBuffer();
    if (!answer.ok) session.fail(`GET ${path} answered ${answer.status}`);
    callsMs.push(performance.now() - startedMs);
  }
  return { name: hasOne ? 'GET /nodes/{id}' : 'GET /nodes?limit=1', callsMs };
}

function timesOf(callsMs: readonly number[]): Record<string, number> {
  return { p50_ms: percentile(callsMs, 0.5), p99_ms: percentile(callsMs, 0.99) };
}
