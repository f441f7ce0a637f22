import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import type { Broker, OutgoingMessage } from '../../src/domain/broker.ts';
import { AppError } from '../../src/domain/error.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { manifestMessage } from '../../src/domain/queues.ts';
import type { Signer } from '../../src/domain/signer.ts';
import { createPool } from '../../src/platform/postgres/pool.ts';
import { explainTask } from '../../src/tasks/explain.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig, type RigOptions } from './rig.ts';

const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));

describe('parts of the system that are away for a while', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;

  async function start(options: RigOptions): Promise<void> {
    rig = await startRig(options);
    await rig.addNode('alpha');
    operator = await rig.principal('integration', ['operator']);
  }

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  async function count(query: string): Promise<number> {
    const { rows } = await rig.database.query<{ n: number }>(query);
    return rows[0]?.n ?? -1;
  }

  it('a signer that does not answer: work is taken on, waits, and says why; all of it runs later', async () => {
    let isDown = true;
    let refused = 0;
    await start({
      wrapSigner: (signer): Signer => ({
        algorithm: signer.algorithm,
        kid: signer.kid,
        jwk: signer.jwk,
        sign: (texts) => {
          if (!isDown) return signer.sign(texts);
          refused++;
          return Promise.reject(new AppError('unavailable', 'the signer is away'));
        },
      }),
    });
    const [task] = await rig.submit(operator, noops(20));
    await eventually(() => (rig.orchestrator.engine.state.signer_ok ? undefined : true));
    await rig.submit(operator, noops(20));
    await eventually(() => (refused >= 3 ? true : undefined));
    expect(await count('select count(*) as n from manifests')).to.equal(0);
    expect(
      await count(`select count(*) as n from queue where state = 'queued' and attempt = 0 and tries = 0`),
    ).to.equal(40);
    const explained = await explainTask(rig.database, task?.task_id ?? '', {
      catalog: rig.orchestrator.catalog,
      system: rig.orchestrator.engine.state,
    });
    expect(explained.reasons.map(({ code }) => code)).to.include('signer_down');
    expect((await rig.orchestrator.engine.health()).ready).to.equal(false);
    isDown = false;
    await rig.settled();
    expect(await count(`select count(*) as n from results where state = 'succeeded' and attempt = 1`)).to.equal(40);
    expect(rig.orchestrator.engine.state.signer_ok).to.equal(true);
  });

  it('a signer that fails now and then: each attempt is ordered once', async () => {
    let calls = 0;
    await start({
      wrapSigner: (signer): Signer => ({
        algorithm: signer.algorithm,
        kid: signer.kid,
        jwk: signer.jwk,
        sign: (texts) =>
          calls++ % 2 === 0 ? Promise.reject(new AppError('unavailable', 'the signer is away')) : signer.sign(texts),
      }),
    });
    for (let i = 0; i < 4; i++) {
      await rig.submit(operator, noops(10));
      await rig.settled();
    }
    expect(calls).to.be.at.least(8);
    expect(await count(`select count(*) as n from results where state = 'succeeded' and attempt = 1`)).to.equal(40);
  });

  it('a broker that loses manifests without a confirm: they are sent again after a heartbeat', async () => {
    const broker = new UnconfirmingBroker({ delivers: false });
    await start({ wrapBroker: (inner) => broker.around(inner) });
    broker.isAway = true;
    await rig.submit(operator, noops(4));
    await eventually(() => (broker.unconfirmed.length > 0 ? true : undefined));
    await eventually(async () =>
      (await count(`select count(*) as n from queue where state = 'queued'`)) === 0 ? true : undefined,
    );
    expect(await count('select count(*) as n from results')).to.equal(0);
    broker.isAway = false;
    const owner = createPool({ url: rig.url, max: 1 });
    await owner.query(`update manifests set issued_at = now() - interval '20 seconds'`);
    await owner.close();
    await rig.settled();
    expect(await count(`select count(*) as n from results where state = 'succeeded' and attempt = 1`)).to.equal(4);
    expect(rig.log.filter(({ event }) => event === 'manifest.unsent')).to.not.deep.equal([]);
  });

  it('a broker that delivers manifests but not its confirms: nothing runs twice', async () => {
    const broker = new UnconfirmingBroker({ delivers: true });
    await start({ wrapBroker: (inner) => broker.around(inner) });
    broker.isAway = true;
    await rig.submit(operator, noops(20));
    await rig.settled();
    expect(broker.unconfirmed).to.not.deep.equal([]);
    expect(await count(`select count(*) as n from results where state = 'succeeded' and attempt = 1`)).to.equal(20);
    expect(await count('select count(*) as n from results')).to.equal(20);
  });
});

/** Answers `unconfirmed` for manifests while it is away; the queue has them or not. */
class UnconfirmingBroker {
  isAway = false;
  readonly unconfirmed: OutgoingMessage[] = [];
  readonly #delivers: boolean;

  constructor({ delivers }: { delivers: boolean }) {
    this.#delivers = delivers;
  }

  around(inner: Broker): Broker {
    return {
      declare: (topology, options) => inner.declare(topology, options),
      deleteQueue: (name) => inner.deleteQueue(name),
      depth: (queue) => inner.depth(queue),
      health: () => inner.health(),
      close: () => inner.close(),
      consume: (queue, options) => inner.consume(queue, options),
      publish: async (messages) => {
        const manifests = messages.filter(({ type }) => type === manifestMessage);
        if (!this.isAway || manifests.length === 0) return inner.publish(messages);
        this.unconfirmed.push(...manifests);
        if (this.#delivers) await inner.publish(messages);
        return messages.map(() => ({ outcome: 'unconfirmed' }));
      },
    };
  }
}
