import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readManifests } from '../../src/collect/collect-sql.ts';
import { manifestToMessage } from '../../src/dispatch/dispatcher.ts';
import type { OutgoingMessage } from '../../src/domain/broker.ts';
import { decodeFrame, encodeFrame } from '../../src/domain/frame.ts';
import { newId, type Jti } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/domain/principal.ts';
import type { CanonicalValue } from '../../src/proof/canonical-json.ts';
import { CompactJwsGenerator } from '../../src/proof/jws.ts';
import { manifestLifetimeS, type ManifestPayload } from '../../src/proof/manifest.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

describe('manifests that come later than they should', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;
  let folder: string;
  let marker: string;

  beforeEach(async () => {
    rig = await startRig();
    operator = await rig.principal('integration', ['operator']);
    folder = await mkdtemp(join(tmpdir(), 'writ-late-'));
    marker = join(folder, 'writ-marker-lines');
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    await rm(folder, { recursive: true, force: true });
    expect(problems).to.deep.equal([]);
  });

  /** Runs one destructive task, and answers the message of its manifest. */
  async function runOnce(): Promise<OutgoingMessage> {
    await rig.submit(operator, [{ tool: 'noop', action: 'append', payload: { file: marker, line: 'once' } }]);
    await rig.settled();
    const { rows } = await rig.database.query<{ jti: string }>('select jti from manifests');
    const [manifest] = await readManifests(
      rig.database,
      rows.map(({ jti }) => jti),
    );
    if (manifest === undefined) throw new Error('no manifest');
    return manifestToMessage(manifest, manifest.payloads, Date.now());
  }

  /** Sends it to its node's queue; the reason of the one record that tells of its refusal. */
  async function refusalOf(message: OutgoingMessage): Promise<unknown> {
    await (await rig.connect()).publish([message]);
    const { rows } = await eventually(async () => {
      const found = await rig.database.query<{ reason: string }>(
        `select convert_from(line, 'UTF8')::jsonb ->> 'reason' as reason from audit_log where type = 'manifest.refuse'`,
      );
      return found.rows.length > 0 ? found : undefined;
    });
    expect(rows).to.have.length(1);
    expect(await readFile(marker, 'utf8')).to.equal('once\n');
    const { rows: results } = await rig.database.query('select attempt, status from results');
    expect(results).to.deep.equal([{ attempt: 1, status: 'succeeded' }]);
    return rows[0]?.reason;
  }

  it('are known by a node that was restarted since it took them', async () => {
    const first = await rig.addNode('alpha');
    const message = await runOnce();
    await first.stop(0);
    await rig.addNode('alpha');
    expect(await refusalOf(message)).to.equal('replayed');
  });

  it('are refused when they have expired in the queue, although the right key signed them', async () => {
    await rig.addNode('alpha');
    const message = await runOnce();
    const { jws, blobs } = decodeFrame(message.body);
    const signed = JSON.parse(
      Buffer.from(jws.toString('latin1').split('.')[1] ?? '', 'base64url').toString(),
    ) as ManifestPayload;
    const iat = Math.floor(Date.now() / 1000) - manifestLifetimeS - 31;
    const late = { ...signed, jti: newId<Jti>(), iat, nbf: iat, exp: iat + manifestLifetimeS };
    late.orders = late.orders.map((order) => ({ ...order, attempt: order.attempt + 1 }));
    const key = rig.orchestrator.manifestKeys.signer;
    const [expired = Buffer.alloc(0)] = await new CompactJwsGenerator(key, 'writ-manifest+jws').generate([
      late as unknown as CanonicalValue,
    ]);
    expect(await refusalOf({ ...message, body: encodeFrame(expired, blobs) })).to.equal('expired');
  });

  it('are gone from the queue by themselves when their time is over', async () => {
    const node = await rig.addNode('alpha');
    const message = await runOnce();
    await node.stop(0);
    await (await rig.connect()).publish([{ ...message, expirationMs: 1 }]);
    await eventually(async () => ((await rig.broker.depth(message.routingKey)) === 0 ? true : undefined));
  });
});
