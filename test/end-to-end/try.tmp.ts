import { startRig } from './rig.ts';
import { checkInvariants } from '../support/invariants.ts';
import { stopTestPostgres } from '../support/postgres.ts';
const rig = await startRig({flags: {telemetry_feeds: (process.env.FEED ?? 'events') as never}});
try {
  await rig.addNode('alpha', { slots: 16 });
  const p = await rig.principal('bench', ['operator']);
  const t = await rig.submit(p, [{ tool: 'noop', action: 'run' }]);
  console.log(t);
  await rig.settled(8000);
  console.log('one done');
  const n = Number(process.argv[2] ?? 2000);
  const s0 = rig.database.statements(); const c0 = process.cpuUsage();
  const t0 = performance.now();
  const jobs = [];
  for (let i = 0; i < n; i += 500) jobs.push(rig.submit(p, Array.from({ length: 500 }, () => ({ tool: 'noop', action: 'run', payload: {} }))));
  await Promise.all(jobs);
  const t1 = performance.now();
  await rig.settled(60000);
  const t2 = performance.now(); const c = process.cpuUsage(c0);
  console.log({ submitMs: t1 - t0, allMs: t2 - t0, perS: n / (t2 - t0) * 1000, statements: rig.database.statements() - s0, cpuPer1000: (c.user + c.system) / n });
  console.log((await rig.database.query('select state, status, count(*) from results group by 1,2')).rows);
  await new Promise(r => setTimeout(r, 1500));
  console.log(await checkInvariants(rig.database));
  console.log((await rig.database.query('select size from audit_head')).rows, (await rig.database.query('select size from checkpoints')).rows.slice(-2), (await rig.database.query('select * from projections')).rows);
} catch (e) { console.log('FAILED', e); }
console.log(rig.log.slice(0, 10).map(l => JSON.stringify(l) + (l.fields?.error instanceof Error ? l.fields.error.stack + JSON.stringify(l.fields.error) : '')).join('\n'));
await rig.stop().catch(e => console.log('stop', e));
await stopTestPostgres();
