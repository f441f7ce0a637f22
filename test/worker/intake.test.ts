/** What a node believes of a manifest, order by order. */

import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { encodeFrame } from '../../src/domain/frame.ts';
import { privateScope } from '../../src/domain/principal.ts';
import type { Scope } from '../../src/domain/scope.ts';
import type { CanonicalValue } from '../../src/proof/canonical-json.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { CompactJwsGenerator } from '../../src/proof/jws.ts';
import { manifestLifetimeS, type Grant, type ManifestPayload } from '../../src/proof/manifest.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { importPublicKey } from '../../src/proof/public-key.ts';
import { loadCatalog, type Catalog } from '../../src/tools/catalog.ts';
import { openManifest, reopenManifest, type IntakeContext, type OpenManifest } from '../../src/worker/intake.ts';
import { p256Key, type TestKey } from '../proof/keys.ts';
import { shippedTools } from '../tools/fixtures.ts';

const nowS = 1_700_000_000;
const origin = 'test.example/log';
const nodeId = uuid(0xaa);
const key = p256Key(1);

function uuid(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** One order as it is to be: its grant where it is not that of a run of noop, its payload, what is swapped. */
interface Wanted {
  grant?: Partial<Grant>;
  payload?: unknown;
  attempt?: number;
  /** Sent instead of the payload that was signed. */
  sent?: Buffer | null;
}

const connect = { tool: 'tcp', action: 'connect' };

describe('the intake of a manifest', () => {
  let catalog: Catalog;
  before(async () => {
    catalog = await loadCatalog([shippedTools]);
  });

  async function message(wanted: readonly Wanted[], over: Partial<ManifestPayload> = {}, by: TestKey = key) {
    const grants: Grant[] = [];
    const payloads: (Buffer | null)[] = [];
    const orders = wanted.map(({ grant, payload = {}, attempt = 1, sent }, i) => {
      const whole = grantOf(grant ?? {});
      let at = grants.findIndex((other) => JSON.stringify(other) === JSON.stringify(whole));
      if (at < 0) at = grants.push(whole) - 1;
      const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
      payloads.push(sent === undefined ? bytes : sent);
      return { task_id: uuid(i + 1), attempt, grant: at, payload_sha256: sha256Hex(bytes) };
    });
    const manifest: ManifestPayload = {
      iss: origin,
      aud: nodeId,
      jti: uuid(0x1000),
      iat: nowS,
      nbf: nowS,
      exp: nowS + manifestLifetimeS,
      grants,
      orders,
      ...over,
    };
    const generator = new CompactJwsGenerator(by, 'writ-manifest+jws');
    const [jws = Buffer.alloc(0)] = await generator.generate([manifest as unknown as CanonicalValue]);
    return { body: encodeFrame(jws, payloads), jws, payloads };
  }

  function grantOf(grant: Partial<Grant>): Grant {
    const { tool = 'noop', action = 'run' } = grant;
    const found = catalog.find(tool, action);
    return {
      tool,
      tool_digest: found?.digest ?? `sha256:${'0'.repeat(64)}`,
      action,
      effects: found?.effects ?? 'none',
      timeout_s: 10,
      scope: null,
      requested_by: 'alice',
      required_role: 'operator',
      approvals: [],
      ...grant,
    };
  }

  function contextOf(over: Partial<IntakeContext> = {}): IntakeContext {
    const scopes: Scope[] = [
      { name: 'web', tools: ['tcp.*'], targets: ['*.example.com', '192.0.2.0/24'] },
      { name: 'over', tools: ['*'], targets: ['*'], not_after: new Date(nowS * 1000).toISOString() },
    ];
    return {
      nodeId,
      trust: { origin, findKey: (kid) => (kid === key.kid ? importPublicKey(key.jwk) : undefined) },
      journal: { isSeenJti: () => false, highestAttempt: () => 0 },
      catalog,
      scopes: new Map(scopes.map((scope) => [scope.name, scope])),
      clock: { now: () => nowS * 1000, monotonicMs: () => 0 },
      ...over,
    };
  }

  function reasons({ refused }: OpenManifest): [string, string][] {
    return refused.map(({ task_id, reason }) => [task_id, reason]);
  }

  function codeOf(open: () => OpenManifest): string {
    try {
      open();
      return 'taken';
    } catch (error) {
      if (error instanceof ProofError) return error.code;
      throw error;
    }
  }

  it('takes orders with everything that their run needs', async () => {
    const { body } = await message([{ payload: { output: 'x' } }]);
    const { accepted, refused } = openManifest({ body }, contextOf());
    expect(refused).to.deep.equal([]);
    expect(accepted[0]).to.include({
      task_id: uuid(1),
      attempt: 1,
      jti: uuid(0x1000),
      exp: nowS + 60,
      allowPrivate: false,
    });
    expect(accepted[0]?.action).to.equal(catalog.find('noop', 'run'));
    expect(accepted[0]?.payload.toString()).to.equal('{"output":"x"}');
  });

  const bad: [string, Wanted, string][] = [
    ['whose payload was swapped', { sent: Buffer.from('{"fail":true}') }, 'payload_swapped'],
    ['whose payload is missing', { sent: null }, 'payload_swapped'],
    ['of a tool that the node does not have', { grant: { tool: 'none' } }, 'unknown_action'],
    ['of an action that its tool does not have', { grant: { action: 'none' } }, 'unknown_action'],
    ['of another version of its tool', { grant: { tool_digest: `sha256:${'1'.repeat(64)}` } }, 'other_digest'],
    ['that names other effects than the catalog', { grant: { effects: 'destructive' } }, 'other_effects'],
    ['bound by a scope that the node does not know', { grant: { scope: 'nobody' } }, 'unknown_scope'],
    ['of a tool outside of its scope', { grant: { scope: 'web' } }, 'scope_tool'],
    ['bound by a scope whose time is over', { grant: { scope: 'over' } }, 'scope_window'],
    [
      'with a target outside of its scope',
      { grant: { ...connect, scope: 'web' }, payload: { host: '198.51.100.1', port: 443 } },
      'scope_target',
    ],
    [
      'with a loopback target and no right to it',
      { grant: connect, payload: { host: '127.0.0.1', port: 1 } },
      'scope_target',
    ],
    ['whose payload is not JSON', { grant: connect, payload: Buffer.from('{') }, 'payload_invalid'],
  ];
  for (const [what, wanted, reason] of bad) {
    it(`refuses an order ${what}, and takes all others of the manifest`, async () => {
      const { body } = await message([{}, wanted, { payload: { output: 'last' } }]);
      const opened = openManifest({ body }, contextOf());
      expect(reasons(opened)).to.deep.equal([[uuid(2), reason]]);
      expect(opened.accepted.map(({ task_id }) => task_id)).to.deep.equal([uuid(1), uuid(3)]);
    });
  }

  it('refuses payloads that were exchanged between two orders', async () => {
    const { jws, payloads } = await message([{ payload: { output: 'a' } }, { payload: { output: 'b' } }, {}]);
    const [a = null, b = null, c = null] = payloads;
    const opened = openManifest({ body: encodeFrame(jws, [b, a, c]) }, contextOf());
    expect(reasons(opened).map(([, reason]) => reason)).to.deep.equal(['payload_swapped', 'payload_swapped']);
    expect(opened.accepted.map(({ task_id }) => task_id)).to.deep.equal([uuid(3)]);
  });

  it('refuses an attempt that is not later than the one it has taken', async () => {
    const { body } = await message([{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }]);
    const opened = openManifest({ body }, contextOf({ journal: { isSeenJti: () => false, highestAttempt: () => 2 } }));
    expect(reasons(opened)).to.deep.equal([
      [uuid(1), 'stale_attempt'],
      [uuid(2), 'stale_attempt'],
    ]);
    expect(opened.accepted.map(({ attempt }) => attempt)).to.deep.equal([3]);
  });

  it('lets a scope reach what it names, and the private scope any address', async () => {
    const inside = { host: 'www.example.com', port: 443 };
    const { body } = await message([
      { grant: { ...connect, scope: 'web' }, payload: inside },
      { grant: { ...connect, scope: 'web' }, payload: { host: '192.0.2.9', port: 443 } },
      { grant: { ...connect, scope: privateScope }, payload: { host: '127.0.0.1', port: 443 } },
    ]);
    const { accepted, refused } = openManifest({ body }, contextOf());
    expect(refused).to.deep.equal([]);
    expect(accepted.map(({ scope, allowPrivate }) => [scope?.name, allowPrivate])).to.deep.equal([
      ['web', false],
      ['web', false],
      [undefined, true],
    ]);
  });

  it('believes no manifest of another log, node, key or time, nor one that it has taken', async () => {
    const context = contextOf();
    const code = async (over: Partial<ManifestPayload>, by?: TestKey): Promise<string> => {
      const { body } = await message([{}], over, by);
      return codeOf(() => openManifest({ body }, context));
    };
    expect(await code({})).to.equal('taken');
    expect(await code({ iss: 'other.example/log' })).to.equal('bad_issuer');
    expect(await code({ aud: uuid(0xbb) })).to.equal('bad_audience');
    expect(await code({}, p256Key(2))).to.equal('unknown_key');
    const at = (iat: number) => ({ iat, nbf: iat, exp: iat + manifestLifetimeS });
    expect(await code(at(nowS + 30))).to.equal('taken');
    expect(await code(at(nowS + 31))).to.equal('not_yet_valid');
    expect(await code(at(nowS - 89))).to.equal('taken');
    expect(await code(at(nowS - 90))).to.equal('expired');
    const { body } = await message([{}]);
    const seen = contextOf({ journal: { isSeenJti: () => true, highestAttempt: () => 0 } });
    expect(codeOf(() => openManifest({ body }, seen))).to.equal('replayed');
  });

  it('believes none with another number of payloads than orders, or cut short', async () => {
    const { jws, body } = await message([{}, {}]);
    const frames = [encodeFrame(jws, [Buffer.from('{}')]), body.subarray(0, body.length - 1), Buffer.alloc(3)];
    for (const frame of frames) expect(codeOf(() => openManifest({ body: frame }, contextOf()))).to.equal('bad_frame');
  });

  it('opens again what it has taken itself, and still not what has expired', async () => {
    const { body } = await message([{}]);
    const journal = { isSeenJti: () => true, highestAttempt: () => 1 };
    expect(reopenManifest(body, contextOf({ journal })).accepted).to.have.length(1);
    const late = contextOf({ journal, clock: { now: () => (nowS + 90) * 1000, monotonicMs: () => 0 } });
    expect(codeOf(() => reopenManifest(body, late))).to.equal('expired');
  });
});
