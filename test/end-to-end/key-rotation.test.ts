/** Rotation of the key that signs manifests, under load: nothing fails, and what was signed before still verifies. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Principal } from '../../src/domain/principal.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));
const by = { actor: { id: 'somebody', kind: 'person' } };

describe('rotation of the manifest key', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;

  beforeEach(async () => {
    rig = await startRig({ flags: { heartbeat_interval_s: 0.3 } });
    operator = await rig.principal('integration', ['operator']);
    await rig.addNode('alpha');
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  /** Submits a little all the time until `end` has come true. */
  async function work(end: () => boolean): Promise<number> {
    let submitted = 0;
    while (!end()) {
      await rig.submit(operator, noops(10));
      submitted += 10;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await rig.settled();
    return submitted;
  }

  async function kidsOfManifests(): Promise<string[]> {
    const { rows } = await rig.database.query<{ jws: Buffer }>('select jws from manifests order by issued_at');
    const headers = rows.map(({ jws }) => Buffer.from(jws.toString('latin1').split('.')[0] ?? '', 'base64url'));
    return [...new Set(headers.map((header) => (JSON.parse(header.toString()) as { kid: string }).kid))];
  }

  it('goes on while tasks run: each task once, by the old key and then by the new one', async () => {
    const { manifestKeys } = rig.orchestrator;
    const [first] = await manifestKeys.list();
    const rotated = await manifestKeys.rotate(by, 3);
    expect(rotated).to.include({ version: 2, state: 'next' });
    let isOver = false;
    const working = work(() => isOver);
    await eventually(async () => {
      const keys = await manifestKeys.list();
      return keys[1]?.state === 'signs' && keys[0]?.trusted_until !== null ? true : undefined;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    isOver = true;
    const submitted = await working;
    expect(await kidsOfManifests()).to.deep.equal([first?.kid, rotated.kid]);
    const { rows } = await rig.database.query<{ n: number }>(
      `select count(*) as n from results where state = 'succeeded' and attempt = 1`,
    );
    expect(rows[0]?.n).to.equal(submitted);
    expect(rig.log.filter(({ event }) => event === 'manifest.refused' || event === 'key.refused')).to.deep.equal([]);
    expect((await manifestKeys.list()).map(({ state }) => state)).to.deep.equal(['former', 'signs']);
  });

  it('is one at a time, and takes a version that was made by a call that did not come to its end', async () => {
    const { manifestKeys } = rig.orchestrator;
    const made = await rig.manifestKey.rotate();
    const rotated = await manifestKeys.rotate(by, 60);
    expect(rotated).to.include({ kid: made.kid, version: 2, state: 'next' });
    const again: unknown = await manifestKeys.rotate(by, 0).catch((error: unknown) => error);
    expect(again).to.include({ code: 'conflict', reason: 'rotation_pending' });
    expect(await rig.manifestKey.versions()).to.have.length(2);
  });

  it('reaches nodes: they take the new key with its proof, and know when the old one ends', async () => {
    const { manifestKeys } = rig.orchestrator;
    const { kid: oldKid } = manifestKeys.signer;
    const { kid } = await manifestKeys.rotate(by, 0);
    const known = await eventually(() => {
      const keys = knownKeys('alpha');
      return keys.find((key) => key.kid === oldKid)?.until === null ? undefined : keys;
    });
    expect(known.map((key) => key.kid)).to.deep.equal([oldKid, kid]);
    expect(known[1]?.until).to.equal(null);
    const untilMs = Date.parse(known[0]?.until ?? '');
    expect(untilMs).to.be.within(Date.now() + 60_000, Date.now() + 120_000);
    expect((await rig.manifestKey.versions()).map(({ version }) => version)).to.deep.equal([2]);
  });

  function knownKeys(name: string): { kid: string; until: string | null }[] {
    const text = readFileSync(join(rig.folder, name, 'identity.json'), 'utf8');
    return (JSON.parse(text) as { trust: { manifest_keys: { kid: string; until: string | null }[] } }).trust
      .manifest_keys;
  }
});
