/** Which version of the manifest key signs: trusted first, switched in time, retired once, whatever dies in between. */

import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Clock } from '../../src/domain/clock.ts';
import { AppError, type ErrorCode } from '../../src/domain/error.ts';
import type { SigningKey } from '../../src/domain/signer.ts';
import type { AuditLogger } from '../../src/ledger/audit-logger.ts';
import { ManifestKeys, type ManifestKeysOptions } from '../../src/ledger/manifest-keys.ts';
import { openLog, openOrigin } from '../../src/ledger/open-log.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { openLocalSigningKey } from '../../src/platform/keys/local-signing-key.ts';
import { makeDirectory } from '../platform/keys/temporary-directory.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const beginMs = Date.parse('2026-03-04T05:06:07.000Z');
const activationS = 600;
/** A manifest's life, and clocks that differ by half a minute to either side. */
const retireAfterMs = 120_000;
const by = { actor: { id: 'somebody', kind: 'person' } };

interface KeyRecord {
  type: string;
  actor: string | null;
  target: string;
  until: string | undefined;
}

describe('the keys that sign manifests', () => {
  let test: TestDatabase;
  let folder: string;
  let remove: () => Promise<void>;
  let audit: AuditLogger;
  let clock: { ms: number } & Clock;

  beforeEach(async () => {
    test = await createTestDatabase();
    ({ directory: folder, remove } = await makeDirectory());
    clock = { ms: beginMs, now: () => clock.ms, monotonicMs: () => clock.ms };
    const origin = await openOrigin(test.database, 'test.example');
    const logSigner = await openLocalSigner({ path: join(folder, 'log.pem'), algorithm: 'EdDSA', create: true });
    ({ audit } = await openLog({ database: test.database, origin, logSigner, clock }));
  });
  afterEach(async () => {
    await test.drop();
    await remove();
  });

  /** The key of one place, as another process opens it. */
  function keyOf(place = 'here'): Promise<SigningKey> {
    return openLocalSigningKey({ path: join(folder, place, 'manifest.pem'), algorithm: 'ES256', create: true });
  }

  async function open(over: Partial<ManifestKeysOptions> = {}): Promise<ManifestKeys> {
    const { database } = test;
    return ManifestKeys.open({ database, audit, key: over.key ?? (await keyOf()), clock, activationS, ...over });
  }

  async function withPart(change: (key: SigningKey) => Partial<SigningKey>): Promise<SigningKey> {
    const key = await keyOf();
    const whole: SigningKey = {
      versions: () => key.versions(),
      signer: (version) => key.signer(version),
      rotate: () => key.rotate(),
      retireBefore: (version) => key.retireBefore(version),
    };
    return { ...whole, ...change(key) };
  }

  const refuse = (code: ErrorCode) => (): Promise<never> => Promise.reject(new AppError(code, 'refused'));

  /** Records about keys that are no longer the log's own, in the order in which they were written. */
  async function records(type?: string): Promise<KeyRecord[]> {
    const { rows } = await test.database.query<KeyRecord & { text: string }>(
      `select type, actor, target, before_prev as text from audit_inbox
        where type like 'key.%' and before_prev not like '%"use":"log"%' order by pos`,
    );
    return rows
      .map(({ text, ...row }) => ({ ...row, until: /"until":"([^"]+)"/.exec(text)?.[1] }))
      .filter((row) => type === undefined || row.type === type);
  }

  const told = async (): Promise<string[]> => (await records()).map(({ type, target }) => `${type} ${target}`);
  const states = async (keys: ManifestKeys): Promise<string[]> => (await keys.list()).map(({ state }) => state);
  const at = (offsetMs: number): string => new Date(clock.ms + offsetMs).toISOString();

  async function failureOf(call: Promise<unknown>): Promise<AppError> {
    const failure: unknown = await call.catch((error: unknown) => error);
    if (failure instanceof AppError) return failure;
    throw new Error('not refused', { cause: failure });
  }

  /** The manifests that are signed verify by the key that is named. */
  async function expectSigns({ signer }: ManifestKeys, kid: string): Promise<void> {
    expect(signer.kid).to.equal(kid);
    expect((await signer.sign([Buffer.from('x')]))[0]).to.have.length(64);
  }

  describe('when they are opened', () => {
    it('the first one is trusted by a record, and signs at once', async () => {
      const keys = await open();
      const [version] = await (await keyOf()).versions();
      await expectSigns(keys, version?.kid ?? '');
      expect(await told()).to.deep.equal([`key.trust ${version?.kid ?? ''}`]);
      const from = at(0);
      expect(await keys.list()).to.deep.equal([
        {
          ...{ kid: version?.kid, version: 1, state: 'signs' },
          trusted_from: from,
          signs_from: from,
          trusted_until: null,
        },
      ]);
    });

    it('again by another process, it is found, and no record is written', async () => {
      const { kid } = (await open()).signer;
      clock.ms += 1000;
      await expectSigns(await open(), kid);
      expect(await told()).to.deep.equal([`key.trust ${kid}`]);
    });

    it('by many processes at once, it is trusted by one record', async () => {
      await keyOf();
      const opened = await Promise.all(Array.from({ length: 8 }, () => open()));
      expect(new Set(opened.map(({ signer }) => signer.kid)).size).to.equal(1);
      expect(await records()).to.have.length(1);
    });

    it('a version that was made and not asked for does not sign, now and later', async () => {
      const keys = await open();
      const { kid } = keys.signer;
      await (await keyOf()).rotate();
      for (let i = 0; i < 3; i++) {
        clock.ms += activationS * 1000;
        await keys.refresh();
        await keys.advance(by);
        await expectSigns(keys, kid);
        await expectSigns(await open(), kid);
      }
      expect(await told()).to.deep.equal([`key.trust ${kid}`]);
      expect(await (await keyOf()).versions()).to.have.length(2);
    });

    it('the newest of several versions is the first to be trusted', async () => {
      const key = await keyOf();
      const made = await key.rotate();
      await expectSigns(await open(), made.kid);
    });

    it('a key of another place signs at once, and that of the place before is retired', async () => {
      const here = await open();
      const { kid: hereKid } = here.signer;
      clock.ms += 1000;
      const there = await open({ key: await keyOf('there') });
      const { kid } = there.signer;
      await expectSigns(there, kid);
      await here.advance(by);
      await expectSigns(here, hereKid);
      expect(await records('key.retire'), 'whoever does not have the new key retires nothing for it').to.deep.equal([]);
      await there.advance(by);
      expect(await told()).to.deep.equal([`key.trust ${hereKid}`, `key.trust ${kid}`, `key.retire ${hereKid}`]);
      expect(await states(there)).to.deep.equal(['former', 'signs']);
    });

    it('a key that was retired never signs again: not here, and not in a process that is started with it', async () => {
      const here = await open();
      clock.ms += 1000;
      await (await open({ key: await keyOf('there') })).advance(by);
      await here.refresh();
      expect(() => here.signer)
        .to.throw(AppError)
        .with.property('reason', 'signing_key_retired');
      for (const laterMs of [0, retireAfterMs + 1]) {
        clock.ms += laterMs;
        expect(await failureOf(open())).to.include({ code: 'unavailable', reason: 'signing_key_retired' });
      }
      expect(await records('key.trust')).to.have.length(2);
    });

    it('a key that is to sign later does not sign now, where it is all there is', async () => {
      const keys = await open();
      await keys.rotate(by);
      await (await keyOf()).retireBefore(2);
      expect((await failureOf(open())).reason).to.equal('signing_key_retired');
      clock.ms += activationS * 1000;
      const next = (await keys.list()).find(({ version }) => version === 2);
      await expectSigns(await open(), next?.kid ?? '');
    });
  });

  describe('when they are rotated', () => {
    it('the next is trusted at once and signs in time, to the millisecond; the one before is retired by a record', async () => {
      const keys = await open();
      const { kid: first } = keys.signer;
      clock.ms += 5000;
      const next = await keys.rotate(by);
      expect(next).to.include({ version: 2, state: 'next', trusted_from: at(0), signs_from: at(activationS * 1000) });
      expect((await records()).at(-1)).to.include({ type: 'key.trust', actor: 'somebody', target: next.kid });
      expect(await states(keys)).to.deep.equal(['signs', 'next']);
      clock.ms += activationS * 1000 - 1;
      await keys.advance(by);
      await expectSigns(keys, first);
      expect(await records('key.retire')).to.deep.equal([]);
      clock.ms++;
      await keys.advance(by);
      await expectSigns(keys, next.kid);
      expect(await records('key.retire')).to.deep.equal([
        { type: 'key.retire', actor: 'somebody', target: first, until: at(retireAfterMs) },
      ]);
      expect(await states(keys)).to.deep.equal(['former', 'signs']);
      expect((await (await keyOf()).versions()).map(({ version }) => version)).to.deep.equal([2]);
      clock.ms += retireAfterMs;
      expect(await states(keys)).to.deep.equal(['retired', 'signs']);
    });

    it('the one before is retired once, by whatever is done later', async () => {
      const keys = await open();
      clock.ms += 1000;
      await keys.rotate(by, 0);
      await keys.advance(by);
      const [retired] = await records('key.retire');
      for (let i = 0; i < 3; i++) {
        clock.ms += 100_000;
        await keys.advance(by);
        await (await open()).advance(by);
      }
      expect(await records('key.retire')).to.deep.equal([retired]);
      expect((await keys.list())[0]?.trusted_until).to.equal(retired?.until);
    });

    it('it is one at a time, in whichever process; then another may follow', async () => {
      const keys = await open();
      await keys.rotate(by);
      for (const process of [keys, await open()]) {
        const failure = await failureOf(process.rotate(by, 0));
        expect([failure.code, failure.reason]).to.deep.equal(['conflict', 'rotation_pending']);
      }
      clock.ms += activationS * 1000;
      const third = await keys.rotate(by);
      expect(third.version).to.equal(3);
      expect(await records('key.trust')).to.have.length(3);
    });

    it('of two that sign from the same moment on the newer one does, and the other is retired', async () => {
      for (let version = 2; version < 6; version++) {
        const keys = await open();
        const { kid: former } = keys.signer;
        const next = await keys.rotate(by, 0);
        expect(next.version).to.equal(version);
        await keys.advance(by);
        await expectSigns(keys, next.kid);
        expect((await records('key.retire')).at(-1)).to.include({ target: former });
      }
      expect(await records('key.retire')).to.have.length(4);
    });

    it('of several calls at once one is done', async () => {
      const processes = await Promise.all(Array.from({ length: 4 }, () => open()));
      const outcomes = await Promise.allSettled(processes.map((keys) => keys.rotate(by)));
      const failures = outcomes.filter((outcome) => outcome.status === 'rejected');
      expect(failures.map(({ reason }) => (reason as AppError).reason)).to.deep.equal(
        Array(3).fill('rotation_pending'),
      );
      expect(await records('key.trust')).to.have.length(2);
    });

    it('a version that was made by a call that did not come to its end is taken', async () => {
      const keys = await open();
      const made = await (await keyOf()).rotate();
      const next = await keys.rotate(by);
      expect(next).to.include({ kid: made.kid, version: 2 });
      expect(await (await keyOf()).versions()).to.have.length(2);
    });

    it('the key never goes back to a version that is older than one that has signed', async () => {
      const key = await withPart(() => ({ retireBefore: refuse('forbidden') }));
      const keys = await open({ key });
      await key.rotate();
      const third = await key.rotate();
      expect((await keys.rotate(by, 0)).kid).to.equal(third.kid);
      await keys.advance(by);
      clock.ms += 1000;
      expect((await keys.rotate(by, 0)).version, 'version 2 is there still, and was made before').to.equal(4);
    });

    it('whoever may not make versions is told so, and takes one that somebody else has made', async () => {
      const key = await withPart(() => ({ rotate: refuse('forbidden') }));
      const keys = await open({ key });
      const failure = await failureOf(keys.rotate(by));
      expect([failure.code, failure.reason]).to.deep.equal(['forbidden', 'rotation_not_permitted']);
      expect(await records()).to.have.length(1);
      const made = await (await keyOf()).rotate();
      expect((await keys.rotate(by)).kid).to.equal(made.kid);
    });

    it('a key that cannot be reached is told as such, and nothing is trusted', async () => {
      const key = await withPart(() => ({ rotate: refuse('unavailable') }));
      const keys = await open({ key });
      expect((await failureOf(keys.rotate(by))).code).to.equal('unavailable');
      expect(await records()).to.have.length(1);
    });

    it('whoever may not close versions leaves it to others, and the log has retired them all the same', async () => {
      const key = await withPart(() => ({ retireBefore: refuse('forbidden') }));
      const keys = await open({ key });
      const next = await keys.rotate(by, 0);
      await keys.advance(by);
      await expectSigns(keys, next.kid);
      expect(await records('key.retire')).to.have.length(1);
      expect(await key.versions()).to.have.length(2);
    });

    it('what is not done because the key cannot be reached is done by the next round', async () => {
      let isAway = true;
      const key = await withPart((whole) => ({
        retireBefore: (version) => (isAway ? refuse('unavailable')() : whole.retireBefore(version)),
      }));
      const keys = await open({ key });
      const next = await keys.rotate(by, 0);
      expect((await failureOf(keys.advance(by))).code).to.equal('unavailable');
      expect(await key.versions()).to.have.length(2);
      isAway = false;
      await keys.advance(by);
      expect((await key.versions()).map(({ kid }) => kid)).to.deep.equal([next.kid]);
      expect(await records('key.retire')).to.have.length(1);
    });
  });

  describe('when processes die', () => {
    it('between trust and switch, another goes on', async () => {
      const { kid: first } = (await open()).signer;
      const { kid } = await (await open()).rotate(by);
      const another = await open();
      await expectSigns(another, first);
      clock.ms += activationS * 1000;
      await expectSigns(await open(), kid);
      await another.advance(by);
      await expectSigns(another, kid);
      expect(await told()).to.deep.equal([`key.trust ${first}`, `key.trust ${kid}`, `key.retire ${first}`]);
    });

    it('between making a version and trusting it, the next rotation takes that version', async () => {
      const { database } = test;
      const dying = { ...database, transaction: (): Promise<never> => Promise.reject(new Error('killed')) };
      await open();
      const failure: unknown = await (await open({ database: dying })).rotate(by).catch((error: unknown) => error);
      expect(failure).to.have.property('message', 'killed');
      const [, made] = await (await keyOf()).versions();
      expect((await (await open()).rotate(by)).kid).to.equal(made?.kid);
    });

    it('between switch and retirement, another retires', async () => {
      const keys = await open();
      const { kid: first } = keys.signer;
      const { kid } = await keys.rotate(by, 0);
      const { database } = test;
      const dying = await open({
        database: { ...database, transaction: () => Promise.reject(new Error('killed')) },
      });
      await dying.advance(by).catch(() => undefined);
      await expectSigns(dying, kid);
      expect(await records('key.retire')).to.deep.equal([]);
      clock.ms += 5000;
      const another = await open();
      await expectSigns(another, kid);
      await another.advance(by);
      expect(await records('key.retire')).to.deep.equal([
        { type: 'key.retire', actor: 'somebody', target: first, until: at(retireAfterMs) },
      ]);
    });

    it('between retirement and closing the version, another closes it', async () => {
      const keys = await open({ key: await withPart(() => ({ retireBefore: refuse('unavailable') })) });
      const { kid } = await keys.rotate(by, 0);
      await keys.advance(by).catch(() => undefined);
      expect(await records('key.retire')).to.have.length(1);
      await (await open()).advance(by);
      expect((await (await keyOf()).versions()).map((version) => version.kid)).to.deep.equal([kid]);
      expect(await records('key.retire')).to.have.length(1);
    });
  });

  describe('when several processes run', () => {
    it('whoever begins to lead signs with the version whose time has come', async () => {
      const [leader, follower] = [await open(), await open()];
      const { kid } = await leader.rotate(by);
      clock.ms += activationS * 1000;
      await leader.advance(by);
      await follower.refresh();
      await expectSigns(follower, kid);
    });

    it('and go on at once, each key is retired by one record', async () => {
      const processes = await Promise.all(Array.from({ length: 5 }, () => open()));
      for (let round = 0; round < 3; round++) {
        clock.ms += 1000;
        await processes[0]?.rotate(by, 0);
        await Promise.all(processes.map((keys) => keys.advance(by)));
      }
      const retired = await records('key.retire');
      expect(retired).to.have.length(3);
      expect(new Set(retired.map(({ target }) => target)).size).to.equal(3);
      const kids = new Set(processes.map(({ signer }) => signer.kid));
      expect([...kids]).to.deep.equal([(await (await keyOf()).versions()).at(-1)?.kid]);
    });
  });
});
