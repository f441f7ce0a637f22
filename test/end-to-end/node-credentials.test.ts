/** What a node proves itself with: renewed by heartbeats, whatever answers are lost, and no good to a copy of the node. */

import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { nodeQueue } from '../../src/domain/queues.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { eventually } from './eventually.ts';
import { isReal } from './parts.ts';
import { startRig, type Rig } from './rig.ts';

const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));

describe('the credentials of a node', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;

  async function start(lifetimeS: number): Promise<void> {
    rig = await startRig({
      flags: {
        heartbeat_interval_s: 0.2,
        node_credential_lifetime_s: lifetimeS,
        node_certificate_lifetime_s: 10,
        node_lease_s: 2,
      },
    });
    operator = await rig.principal('integration', ['operator']);
  }

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  async function generation(): Promise<number> {
    const { rows } = await rig.database.query<{ generation: number }>('select generation from nodes');
    return rows[0]?.generation ?? 0;
  }

  interface Kept {
    credential: string;
    certificate: { chain: string; key: string } | null;
  }

  function kept(name: string): Kept {
    return JSON.parse(readFileSync(join(rig.folder, name, 'identity.json'), 'utf8')) as Kept;
  }

  it('are renewed again and again while it works, and survive a restart', async () => {
    await start(2);
    const node = await rig.addNode('alpha');
    const first = kept('alpha');
    await eventually(async () => ((await generation()) >= 3 ? true : undefined));
    await rig.submit(operator, noops(20));
    await rig.settled();
    expect(kept('alpha').credential).to.not.equal(first.credential);
    await node.stop(0);
    const again = await rig.addNode('alpha');
    expect(again.nodeId).to.equal(node.nodeId);
    await rig.submit(operator, noops(20));
    await rig.settled();
    expect(rig.log.filter(({ level }) => level === 'fatal')).to.deep.equal([]);
  });

  const itOnReal = isReal ? it : (): void => undefined;

  itOnReal('with them its certificate to the broker, by a new key each time', async () => {
    await start(600);
    const node = await rig.addNode('alpha');
    const first = kept('alpha').certificate;
    const second = await eventually(() => {
      const { certificate } = kept('alpha');
      return certificate?.key === first?.key ? undefined : certificate;
    }, 20_000);
    const certificate = new X509Certificate(second?.chain ?? '');
    expect(certificate.subject).to.equal(`CN=${node.nodeId}`);
    expect(new X509Certificate(first?.chain ?? '').serialNumber).to.not.equal(certificate.serialNumber);
  });

  it('bear that answers to joins and heartbeats are lost', async () => {
    await start(2);
    let lostJoins = 0;
    let lostBeats = 0;
    const node = await rig.addNode('alpha', {
      wrapLink: (link) => ({
        join: async (token, request) => {
          const answer = await link.join(token, request);
          if (++lostJoins <= 2) throw new AppError('unavailable', 'lost', { reason: 'orchestrator_unavailable' });
          return answer;
        },
        heartbeat: async (credential, nodeId, beat) => {
          const answer = await link.heartbeat(credential, nodeId, beat);
          if (answer.credential !== undefined && ++lostBeats % 3 !== 0) throw new AppError('unavailable', 'lost');
          return answer;
        },
      }),
    });
    await eventually(async () => ((await generation()) >= 3 ? true : undefined), 20_000);
    expect(lostJoins).to.equal(3);
    expect(lostBeats).to.be.at.least(6);
    const { rows } = await rig.database.query<{ node_id: string; status: string }>('select node_id, status from nodes');
    expect(rows).to.deep.equal([{ node_id: node.nodeId, status: 'active' }]);
    await rig.submit(operator, noops(5));
    await rig.settled();
  });

  it('show a copy of the node: it is quarantined, gets nothing more, and its work goes to others', async () => {
    await start(10);
    const node = await rig.addNode('alpha');
    await cp(join(rig.folder, 'alpha'), join(rig.folder, 'copy'), { recursive: true });
    const fatal: unknown[] = [];
    const before = await generation();
    await eventually(async () => ((await generation()) > before ? true : undefined), 20_000);
    // Right after, it may belong to a call that came late.
    await delay(1500);
    const copy = await rig
      .addNode('copy', { onFatal: (error) => fatal.push(error) })
      .catch((error: unknown) => error as AppError);
    expect(copy).to.include({ code: 'forbidden', reason: 'node_quarantined' });
    const { rows } = await rig.database.query<{ status: string }>('select status from nodes');
    expect(rows[0]?.status).to.equal('quarantined');
    // The node itself is shut out too: nobody can tell which of the two is the copy.
    await eventually(() => (rig.log.some(({ level }) => level === 'fatal') ? true : undefined));
    const depth: unknown = await rig.broker.depth(nodeQueue(node.nodeId)).catch((error: unknown) => error);
    expect(depth).to.include({ code: 'not_found' });
    await rig.addNode('beta');
    await rig.submit(operator, noops(10));
    await rig.settled();
    await rig.atRest();
    const { rows: told } = await rig.database.query<{ line: Buffer }>(
      `select line from audit_log where type = 'node.status'`,
    );
    expect(told.map(({ line }) => line.toString()).join()).to.include('credential_reused');
  });
});
