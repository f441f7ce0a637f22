/** The certificate of a node: asked for in time by a key that stays, and taken for that key alone. */

import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, beforeEach, describe, it } from 'mocha';
import type { Authority } from '../../src/domain/authority.ts';
import type { Clock } from '../../src/domain/clock.ts';
import { createCertificateRequest } from '../../src/platform/keys/certificate-request.ts';
import { openLocalAuthority } from '../../src/platform/keys/local-authority.ts';
import { BrokerCertificate } from '../../src/worker/broker-certificate.ts';
import type { Identity } from '../../src/worker/identity.ts';
import { makeDirectory } from '../platform/keys/temporary-directory.ts';

const nodeId = '00000000-0000-7000-8000-0000000000aa';
const lifetimeS = 3600;

describe('the certificate of a node', () => {
  let authority: Authority;
  let remove: () => Promise<void>;
  let clock: { ms: number } & Clock;
  let first: { chain: string; key: string };
  let certificate: BrokerCertificate;
  let fromMs: number;
  let toMs: number;

  before(async () => {
    const made = await makeDirectory();
    ({ remove } = made);
    clock = { ms: Date.now(), now: () => clock.ms, monotonicMs: () => clock.ms };
    authority = await openLocalAuthority({
      ...{ keyPath: join(made.directory, 'a.key'), certificatePath: join(made.directory, 'a.crt') },
      ...{ create: true, clock },
    });
    const { keyPem, csrPem } = await createCertificateRequest(nodeId);
    first = { chain: await issue(csrPem), key: keyPem };
    const { validFrom, validTo } = new X509Certificate(first.chain);
    [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  });
  after(() => remove());

  beforeEach(() => {
    certificate = withCurrent(first);
    clock.ms = fromMs;
  });

  function withCurrent(current: Identity['certificate']): BrokerCertificate {
    return new BrokerCertificate({ node_id: nodeId, certificate: current } as Identity, clock);
  }

  async function issue(csrPem: string): Promise<string> {
    const issued = await authority.issue({ csrPem, commonName: nodeId, names: [], usage: 'client', lifetimeS });
    return issued.certificatePem;
  }

  /** A request that is due, and the certificate that answers it. */
  async function renewed(): Promise<string> {
    clock.ms = toMs;
    return issue((await certificate.renewal()) ?? '');
  }

  it('is asked for again from the middle of its life on, and not before', async () => {
    clock.ms = (fromMs + toMs) / 2 - 1;
    expect(await certificate.renewal()).to.equal(undefined);
    clock.ms++;
    expect(await certificate.renewal()).to.match(/^-----BEGIN CERTIFICATE REQUEST-----/);
    certificate = withCurrent(first);
    clock.ms = toMs + 1_000_000;
    expect(await certificate.renewal()).to.match(/^-----BEGIN CERTIFICATE REQUEST-----/);
  });

  it('is never asked for where the broker asks for none', async () => {
    clock.ms = toMs;
    expect(await withCurrent(null).renewal()).to.equal(undefined);
    expect(withCurrent(null).current).to.equal(null);
  });

  it('is asked for by the same request until it is answered', async () => {
    clock.ms = toMs;
    const request = await certificate.renewal();
    expect(await certificate.renewal()).to.equal(request);
    expect(certificate.current).to.deep.equal(first);
    certificate.take(await issue(request ?? ''));
    clock.ms += lifetimeS * 2000;
    expect(await certificate.renewal()).to.not.equal(request);
  });

  it('is taken with the key of its request, and used from then on', async () => {
    const chain = await renewed();
    const taken = certificate.take(chain);
    expect(taken?.chain).to.equal(chain);
    expect(taken?.key)
      .to.match(/^-----BEGIN PRIVATE KEY-----/)
      .and.not.equal(first.key);
    expect(certificate.current).to.deep.equal(taken);
    const { publicKey } = new X509Certificate(chain);
    expect(new X509Certificate(first.chain).publicKey.equals(publicKey)).to.equal(false);
  });

  it('is not taken twice', async () => {
    const chain = await renewed();
    const taken = certificate.take(chain);
    expect(certificate.take(chain)).to.equal(undefined);
    expect(certificate.current).to.deep.equal(taken);
  });

  const others: [what: string, chain: () => Promise<string>][] = [
    ['for the key before', () => Promise.resolve(first.chain)],
    ['for the key of somebody else', async () => issue((await createCertificateRequest(nodeId)).csrPem)],
    ['that is the authority’s own', () => authority.rootPem()],
    ['that is none', () => Promise.resolve('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')],
    ['that is nothing', () => Promise.resolve('')],
    ['behind one for the key of somebody else', async () => `${first.chain}${await renewed()}`],
  ];
  for (const [what, chain] of others) {
    it(`is not one ${what}; the right one is taken after it`, async () => {
      const right = await renewed();
      expect(certificate.take(await chain())).to.equal(undefined);
      expect(certificate.current).to.deep.equal(first);
      expect(certificate.take(right)?.chain).to.equal(right);
    });
  }

  it('is not one that nobody asked for', async () => {
    expect(certificate.take(first.chain)).to.equal(undefined);
    expect(certificate.take(await issue((await createCertificateRequest(nodeId)).csrPem))).to.equal(undefined);
    expect(certificate.current).to.deep.equal(first);
  });

  it('is asked for at once where the one that is there cannot be read', async () => {
    certificate = withCurrent({ chain: 'damaged', key: first.key });
    const request = await certificate.renewal();
    expect(request).to.match(/^-----BEGIN CERTIFICATE REQUEST-----/);
    expect(certificate.take(await issue(request ?? ''))).to.not.equal(undefined);
  });
});
