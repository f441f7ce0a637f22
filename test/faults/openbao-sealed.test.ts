/** OpenBao is sealed under load: work is taken on, nothing unsigned leaves, `explain` says why, and all of it is done after. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { OpenBaoService } from '../../scripts/services/openbao.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { explainTask } from '../../src/tasks/explain.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { startRig, type Rig } from '../end-to-end/rig.ts';
import { realPartsMissing, testOpenBao, testRabbitMq } from '../support/services.ts';

const sealedMs = 30_000;
const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));

describe('while OpenBao is sealed', function () {
  this.timeout(180_000);
  let openBao: OpenBaoService;
  let rig: Rig;
  let operator: Principal;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    openBao = await testOpenBao();
    rig = await startRig({ real: { rabbitMq: await testRabbitMq() }, flags: { heartbeat_interval_s: 1 } });
    operator = await rig.principal('integration', ['operator']);
    await rig.addNode('alpha', { slots: 20 });
  });

  after(async () => {
    await openBao.unseal();
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  async function count(query: string): Promise<number> {
    const { rows } = await rig.database.query<{ n: number }>(query);
    return rows[0]?.n ?? -1;
  }

  it('for half a minute', async () => {
    const manifests = 'select count(*) as n from manifests';
    await rig.submit(operator, noops(100));
    await rig.settled();
    await openBao.seal();
    // What was signed before the seal may still be committed.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const issued = await count(manifests);
    const until = Date.now() + sealedMs;
    let accepted = 100;
    let last = '';
    while (Date.now() < until) {
      const tasks = await rig.submit(operator, noops(20));
      accepted += tasks.length;
      last = tasks[0]?.task_id ?? '';
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(await count(manifests), 'nothing leaves without a signature').to.equal(issued);
    expect(await count(`select count(*) as n from queue where state = 'queued' and attempt = 0`)).to.equal(
      accepted - 100,
    );
    const { reasons } = await explainTask(rig.database, last, {
      catalog: rig.orchestrator.catalog,
      system: rig.orchestrator.engine.state,
    });
    expect(reasons.map(({ code }) => code)).to.include('signer_down');
    const health = await rig.orchestrator.engine.health();
    expect([health.ready, health.parts['signer']?.ok]).to.deep.equal([false, false]);
    await openBao.unseal();
    await rig.settled(90_000);
    expect(await count(`select count(*) as n from results where state = 'succeeded' and attempt = 1`)).to.equal(
      accepted,
    );
    await eventually(async () => ((await rig.orchestrator.engine.health()).ready ? true : undefined));
  });
});
