/** Transit keys: the contracts on a real OpenBao, and what a signer makes of wrong answers. */

import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../../../src/domain/error.ts';
import type { VaultClient } from '../../../../src/platform/keys/vault/client.ts';
import { openTransitKey, type TransitKeyType } from '../../../../src/platform/keys/vault/transit-key.ts';
import { VaultTransitSigner } from '../../../../src/platform/keys/vault/transit-signer.ts';
import { exportJwk } from '../../../../src/proof/public-key.ts';
import { failureCode } from '../../../contract/failure-code.ts';
import { signerContract } from '../../../contract/signer.ts';
import { signingKeyContract } from '../../../contract/signing-key.ts';
import { realPartsMissing, testOpenBao } from '../../../support/services.ts';
import { connectTestVault } from '../../../support/vault-client.ts';

const types: readonly TransitKeyType[] = ['ecdsa-p256', 'ed25519'];

describe('Transit keys on a real OpenBao', function () {
  this.timeout(60_000);
  let client: VaultClient;
  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    client = await connectTestVault(await testOpenBao(), 'root');
  });
  after(() => {
    client.close();
  });

  for (const type of types) {
    signingKeyContract(`a Transit key of type ${type}`, () => {
      const name = `contract-${randomUUID()}`;
      return Promise.resolve({
        open: () => openTransitKey({ client, mount: 'transit', name, type, create: true }),
        stop: () => Promise.resolve(),
      });
    });

    signerContract(`a Transit signer of type ${type}`, async () => {
      const name = `contract-${randomUUID()}`;
      const key = await openTransitKey({ client, mount: 'transit', name, type, create: true });
      await key.rotate();
      return { signer: await key.signer(1), stop: () => Promise.resolve() };
    });
  }

  it('opens the keys of the set-up with the rights of an orchestrator, and may not rotate them', async () => {
    const orchestrator = await connectTestVault(await testOpenBao());
    for (const [name, type] of [
      ['writ-manifest', 'ecdsa-p256'],
      ['writ-log', 'ed25519'],
    ] as const) {
      const key = await openTransitKey({ client: orchestrator, mount: 'transit', name, type, create: false });
      expect(await (await key.signer(1)).sign([Buffer.from('x')])).to.have.length(1);
      expect(await failureCode(() => key.rotate())).to.equal('forbidden');
      expect(await failureCode(() => key.retireBefore(1))).to.equal('forbidden');
    }
    orchestrator.close();
  });

  it('does not make a key that it was not asked to make, and refuses one of another type', async () => {
    const name = `contract-${randomUUID()}`;
    const open = (type: TransitKeyType, create: boolean) => () =>
      openTransitKey({ client, mount: 'transit', name, type, create });
    expect(await failureCode(open('ed25519', false))).to.equal('not_found');
    await open('ed25519', true)();
    expect(await failureCode(open('ecdsa-p256', true))).to.equal('conflict');
    expect(await failureCode(open('ecdsa-p256', false))).to.equal('conflict');
  });

  it('takes no path for a name', async () => {
    for (const name of ['a/b', '../keys/a', '', 'a%2fb', 'ä', 'x'.repeat(129)]) {
      const open = () => openTransitKey({ client, mount: 'transit', name, type: 'ed25519', create: true });
      expect(await failureCode(open), name).to.equal('invalid');
    }
  });

  it('signs with the version that it was asked for, also when there are later ones', async () => {
    const name = `contract-${randomUUID()}`;
    const key = await openTransitKey({ client, mount: 'transit', name, type: 'ecdsa-p256', create: true });
    const first = await key.signer(1);
    await key.rotate();
    expect((await first.sign([Buffer.from('x')]))[0]).to.have.length(64);
    await key.retireBefore(2);
    expect(await failureCode(() => first.sign([Buffer.from('x')]))).to.equal('unavailable');
  });
});

/** Answers as Transit does with a key of its own; `change` makes it wrong. */
function answeringClient(
  key: KeyObject,
  change: (result: Record<string, unknown>, i: number) => Record<string, unknown> | undefined,
): { client: VaultClient; calls: number[] } {
  const calls: number[] = [];
  const client: VaultClient = {
    read: () => Promise.resolve(undefined),
    status: () => Promise.resolve({ ok: true }),
    close: () => undefined,
    write: async (_path, body) => {
      const { batch_input } = body as { batch_input: { input: string }[] };
      calls.push(batch_input.length);
      await new Promise((resolve) => setImmediate(resolve));
      const batch_results = batch_input.flatMap(({ input }, i) => {
        const signature = sign(null, Buffer.from(input, 'base64'), key).toString('base64url');
        return change({ signature: `vault:v1:${signature}` }, i) ?? [];
      });
      return { batch_results };
    },
  };
  return { client, calls };
}

describe('a Transit signer', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const jwk = exportJwk(publicKey);
  const other = generateKeyPairSync('ed25519').privateKey;
  const texts = ['a', 'b', 'c'].map((text) => Buffer.from(text));

  async function failureWith(
    change: Parameters<typeof answeringClient>[1],
    key: KeyObject = privateKey,
  ): Promise<string> {
    const { client } = answeringClient(key, change);
    const signer = new VaultTransitSigner({ client, mount: 'transit', key: 'k', version: 1, jwk });
    const error: unknown = await signer.sign(texts).catch((reason: unknown) => reason);
    if (!(error instanceof AppError)) throw new Error('it signed');
    expect(error.code).to.equal('unavailable');
    return error.reason;
  }

  it('hands on nothing that does not verify, is by another version, or is of another form', async () => {
    const replace = (change: (signature: string) => string) => (result: Record<string, unknown>, i: number) =>
      i === 1 ? { signature: change(result['signature'] as string) } : result;
    const wrong = 'signer_answer_wrong';
    expect(await failureWith((result) => result, other)).to.equal(wrong);
    expect(await failureWith(replace((text) => text.replace('v1', 'v2')))).to.equal(wrong);
    expect(await failureWith(replace((text) => text.replace('vault:', '')))).to.equal(wrong);
    expect(await failureWith(replace((text) => `${text}=`))).to.equal(wrong);
    // No signature ends so: its last byte is below 0x11 (RFC 8032 §5.1.7).
    expect(await failureWith(replace((text) => `${text.slice(0, -2)}gA`))).to.equal(wrong);
    expect(await failureWith(replace((text) => text.replace(/v1:./, 'v1:+')))).to.be.a('string');
    expect(await failureWith((result, i) => (i === 2 ? undefined : result))).to.equal(wrong);
    expect(await failureWith(() => ({}))).to.equal(wrong);
  });

  it('fails as a whole where one item of a batch did', async () => {
    expect(await failureWith((result, i) => (i === 1 ? { error: 'no' } : result))).to.equal('signer_failed');
  });

  it('sends what comes while a call is under way together, at most 200 in a call', async () => {
    const { client, calls } = answeringClient(privateKey, (result) => result);
    const signer = new VaultTransitSigner({ client, mount: 'transit', key: 'k', version: 1, jwk });
    await signer.sign([Buffer.from('first')]);
    const open = [signer.sign([Buffer.from('x')])];
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 450; i++) open.push(signer.sign([Buffer.from(i.toString())]));
    await Promise.all(open);
    expect(calls).to.deep.equal([1, 1, 200, 200, 50]);
  });
});
