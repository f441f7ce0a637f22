/** RabbitMQ goes away under load: stopped, killed, wiped. Nothing that was accepted is lost, nor any event. */

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { startRig, type Rig } from '../end-to-end/rig.ts';
import { realPartsMissing, startTestRabbitMq } from '../support/services.ts';

const outageMs = 30_000;
const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));
/** Runs longer than it takes to stop the broker: its receipt has to wait. */
const slow = { tool: 'noop', action: 'run', payload: { sleep_ms: 1500 } };

describe('while RabbitMQ is away', function () {
  this.timeout(240_000);
  let service: RabbitMqService;
  let rig: Rig;
  let operator: Principal;
  let accepted: number;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await startTestRabbitMq();
  });
  after(() => service.stop());

  beforeEach(async () => {
    rig = await startRig({
      real: { rabbitMq: service, vhost: '/' },
      flags: { heartbeat_interval_s: 1, telemetry_backoff_max_s: 2 },
    });
    operator = await rig.principal('integration', ['operator']);
    await rig.addNode('alpha', { slots: 20 });
    await rig.addNode('beta', { slots: 20 });
    accepted = 0;
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  async function submit(items: readonly object[]): Promise<void> {
    accepted += (await rig.submit(operator, items)).length;
  }

  /** Submits a little all the time, from before `fault` until some time after it. */
  async function underLoad(fault: () => Promise<void>): Promise<void> {
    let isOver = false;
    const submitting = (async () => {
      while (!isOver) {
        await submit([...noops(20), slow]);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    })();
    await eventually(async () => ((await ended()) > 100 ? true : undefined));
    await fault();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    isOver = true;
    await submitting;
  }

  async function ended(): Promise<number> {
    const { rows } = await rig.database.query<{ n: number }>(
      `select count(*) as n from results where state = 'succeeded'`,
    );
    return rows[0]?.n ?? 0;
  }

  async function expectAllDone(): Promise<void> {
    await rig.settled(150_000);
    expect(await ended()).to.equal(accepted);
    const { problems } = await rig.atRest();
    expect(problems).to.deep.equal([]);
    const finished = new Set(
      rig.events.filter(({ event_type }) => event_type === 'task.finished').map(({ target }) => target?.id),
    );
    expect(finished.size).to.equal(accepted);
  }

  it('stopped for half a minute: tasks are taken on and wait, running work goes on, and all of it is done after', async () => {
    await underLoad(async () => {
      await service.stop();
      await eventually(() => (rig.orchestrator.engine.state.broker_ok ? undefined : true));
      const { parts, ready } = await rig.orchestrator.engine.health();
      expect([ready, parts['broker']?.ok]).to.deep.equal([false, false]);
      const before = accepted;
      await new Promise((resolve) => setTimeout(resolve, outageMs));
      expect(accepted, 'tasks are taken on meanwhile').to.be.above(before);
      const { rows } = await rig.database.query<{ n: number }>(
        `select count(*) as n from queue where state = 'queued'`,
      );
      expect(rows[0]?.n, 'they wait in the queue, not in manifests that nobody gets').to.be.above(0);
      await service.start();
    });
    await expectAllDone();
  });

  it('killed and started again: what it had confirmed is there, the rest goes again', async () => {
    await underLoad(async () => {
      await service.kill();
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await service.start();
    });
    await expectAllDone();
  });

  it('with all its data deleted: orders, receipts and events go again', async () => {
    await rig.pauseTelemetry();
    const rewound = (): number => rig.log.filter(({ event }) => event === 'telemetry.rewound').length;
    const before = rewound();
    await underLoad(async () => {
      await service.stop();
      await service.wipe();
      await service.start();
    });
    await eventually(() => (rewound() > before ? true : undefined), 60_000);
    await rig.resumeTelemetry();
    await expectAllDone();
  });
});
