import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

describe('a node that starts again', function () {
  this.timeout(30_000);
  let rig: Rig;

  beforeEach(async () => {
    rig = await startRig();
    await (await rig.addNode('first')).stop(0);
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  /** The orchestrator answers heartbeats so, until the answer is called. */
  function failHeartbeats(error: AppError): () => void {
    const { fleet } = rig.orchestrator;
    const heartbeat = fleet.heartbeat.bind(fleet);
    fleet.heartbeat = () => Promise.reject(error);
    return () => (fleet.heartbeat = heartbeat);
  }

  it('goes on where nobody can answer its first heartbeat, and works when somebody can', async () => {
    const restore = failHeartbeats(new AppError('unavailable', 'busy', { reason: 'database_contention' }));
    await rig.addNode('first');
    expect(rig.log).to.deep.include({
      level: 'node',
      event: 'heartbeat.failed',
      fields: { reason: 'database_contention' },
    });
    restore();
    await eventually(() => (rig.orchestrator.fleet.registry.ready().length > 0 ? true : undefined));
    const operator = await rig.principal('integration', ['operator']);
    await rig.submit(operator, [{ tool: 'noop', action: 'run', payload: {} }]);
    await rig.settled();
    const { rows } = await rig.database.query('select state from results');
    expect(rows).to.deep.equal([{ state: 'succeeded' }]);
  });

  it('does not start where its credential is refused', async () => {
    const restore = failHeartbeats(new AppError('unauthenticated', 'not this node’s', { reason: 'unauthenticated' }));
    const refused = await rig.addNode('first').then(
      () => undefined,
      (error: unknown) => error,
    );
    restore();
    expect(refused).to.be.instanceOf(AppError).and.include({ code: 'unauthenticated' });
  });
});
