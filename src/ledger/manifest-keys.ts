/** Which version of the manifest key signs: a new one is trusted by the log first, signs when the nodes know it, and retires the old one. */

import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { KeyVersion, Signer, SigningKey } from '../domain/signer.ts';
import { clockSkewS, manifestLifetimeS } from '../proof/manifest.ts';
import type { Database, Queryable } from '../platform/postgres/pool.ts';
import type { AuditLogger } from './audit-logger.ts';
import { readManifestKeys, retireKeys, trustKey, type NewTrust, type TrustedKey } from './trust.ts';

/** What was signed right before the switch is believed for so long after it: a manifest's life, and clocks that differ. */
const retireAfterS = manifestLifetimeS + 2 * clockSkewS;

export interface ManifestKeysOptions {
  database: Database;
  audit: AuditLogger;
  key: SigningKey;
  clock: Clock;
  /** From when a new version is trusted until it signs, in seconds, where the caller does not say: nodes and JWKS caches learn of it. */
  activationS: number;
}

/** A manifest key as people are told of it. */
export interface ManifestKeyState {
  kid: string;
  version: number;
  trusted_from: string;
  signs_from: string;
  trusted_until: string | null;
  state: 'next' | 'signs' | 'former' | 'retired';
}

type ManifestKeyRow = TrustedKey & { key_version: number; signs_from: Date };

/**
 * The database says which version signs from when; every orchestrator reads it there. Invariant: what `signer` signs with is trusted
 * by a record, and whoever leads signs with the version of the latest `signs_from` that has passed.
 */
export class ManifestKeys {
  readonly #options: ManifestKeysOptions;
  #signer: Signer;
  /** Another key signs by now, and this process does not have it. */
  #isRetired = false;
  #retiredBefore = 0;

  private constructor(options: ManifestKeysOptions, signer: Signer) {
    this.#options = options;
    this.#signer = signer;
  }

  /**
   * Opens the key. A key whose versions the log does not trust at all (a first one, or one of another place) is trusted now and
   * signs at once; a version that nobody asked for yet waits for `rotate`.
   */
  static async open(options: ManifestKeysOptions): Promise<ManifestKeys> {
    const { database, audit, key, clock } = options;
    const versions = await key.versions();
    const latest = versions.at(-1);
    if (latest === undefined) throw new Error('a signing key without a version');
    const from = new Date(clock.now());
    let signing = signingOf(await readKeyRows(database), versions, from);
    if (signing === undefined) {
      const { kid, jwk, version } = latest;
      await database.transaction((tx) =>
        trustKey(tx, audit, { kid, jwk, use: 'manifest', from, signing: { version, from } }),
      );
      signing = signingOf(await readKeyRows(database), versions, new Date(clock.now()));
      // A key is trusted once: one that was retired, or is to sign later, does not sign now.
      if (signing === undefined) throw mayNotSign();
    }
    return new ManifestKeys(options, await key.signer(signing.version));
  }

  /** Signs manifests now. Ask again for each batch: it changes with a rotation. */
  get signer(): Signer {
    if (this.#isRetired) throw mayNotSign();
    return this.#signer;
  }

  /**
   * Makes a version, or takes one that was made by a call that did not come to its end, and trusts it by a record. It signs after
   * `activateInS`. Fails `conflict` while another is about to sign, and `forbidden` where the version has to be made by somebody else.
   */
  async rotate(by: NonNullable<NewTrust['by']>, activateInS = this.#options.activationS): Promise<ManifestKeyState> {
    const { database, audit, key, clock } = this.#options;
    const now = new Date(clock.now());
    const trusted = await readKeyRows(database);
    refusePending(trusted, now);
    // Only the newest: one that is older than a version that has signed is no new key.
    const latest = (await key.versions()).at(-1);
    const isLeft = latest !== undefined && !trusted.some(({ kid }) => kid === latest.kid);
    const { kid, jwk, version } = isLeft ? latest : await key.rotate().catch(refuseRotation);
    const signing = { version, from: new Date(now.getTime() + activateInS * 1000) };
    await database.transaction(async (tx) => {
      // Rotations go one after the other: of two at once, one finds the other's.
      await tx.query("select pg_advisory_xact_lock(hashtext('writ.manifest_key_rotation'))");
      refusePending(await readKeyRows(tx), now);
      await trustKey(tx, audit, { kid, jwk, use: 'manifest', from: now, signing, by });
    });
    const state = (await this.list()).find((known) => known.kid === kid);
    if (state === undefined) throw new Error('a key that was trusted just now is not there');
    return state;
  }

  /** All manifest keys that were ever trusted, in the order of their trust. */
  async list(): Promise<ManifestKeyState[]> {
    const now = new Date(this.#options.clock.now());
    const keys = await readKeyRows(this.#options.database);
    const signing = signingOf(keys, keys.map(asVersion), now);
    return keys.map((row) => ({
      kid: row.kid,
      version: row.key_version,
      trusted_from: row.trusted_from.toISOString(),
      signs_from: row.signs_from.toISOString(),
      trusted_until: row.trusted_until?.toISOString() ?? null,
      state: stateOf(row, signing?.kid, now),
    }));
  }

  /** Signs with the version whose time has come, from now on. For whoever begins to lead. */
  async refresh(): Promise<void> {
    await this.#switch(await readKeyRows(this.#options.database));
  }

  /**
   * Switches where that is due, retires the versions before by records, and makes them unable to sign. For the leader. A process that
   * dies in between leaves the rest to the next.
   */
  async advance(by: NonNullable<NewTrust['by']>): Promise<void> {
    const { database, audit, key, clock } = this.#options;
    const keys = await readKeyRows(database);
    const signing = await this.#switch(keys);
    if (signing === undefined) return;
    const former = keys.filter(
      ({ kid, signs_from, trusted_until }) =>
        kid !== signing.kid && signs_from <= signing.signs_from && trusted_until === null,
    );
    if (former.length > 0) {
      const until = new Date(clock.now() + retireAfterS * 1000);
      const kids = former.map(({ kid }) => kid);
      await database.transaction((tx) => retireKeys(tx, audit, kids, until, by));
    }
    if (signing.key_version > Math.max(1, this.#retiredBefore)) {
      // Where this process may not close them, whoever rotated the key may: the log has retired them, and nobody believes them.
      await key.retireBefore(signing.key_version).catch(passForbidden);
      this.#retiredBefore = signing.key_version;
    }
  }

  async #switch(keys: readonly ManifestKeyRow[]): Promise<ManifestKeyRow | undefined> {
    const { key, clock } = this.#options;
    const now = new Date(clock.now());
    const due = latestDue(keys, now);
    const own = keys.find(({ kid }) => kid === this.#signer.kid);
    if (due === undefined || due.kid === this.#signer.kid) {
      this.#isRetired = (own?.trusted_until ?? null) !== null;
      return due;
    }
    const isHere = (await key.versions()).some(({ kid }) => kid === due.kid);
    // The key of another place signed last. What this process has may sign only while the log has not retired it.
    this.#isRetired = !isHere && (own?.trusted_until ?? null) !== null;
    if (!isHere) return undefined;
    this.#signer = await key.signer(due.key_version);
    return due;
  }
}

function refusePending(keys: readonly ManifestKeyRow[], now: Date): void {
  if (!keys.some(({ signs_from }) => signs_from > now)) return;
  throw new AppError('conflict', 'A new version of the key is trusted already and is about to sign.', {
    reason: 'rotation_pending',
  });
}

function mayNotSign(): AppError {
  return new AppError(
    'unavailable',
    'The key of manifests that this orchestrator has was retired, or is to sign later: it is not the one that the log trusts now.',
    { reason: 'signing_key_retired' },
  );
}

function refuseRotation(error: unknown): never {
  if (!(error instanceof AppError) || error.code !== 'forbidden') throw error;
  throw new AppError(
    'forbidden',
    'This orchestrator may not make versions of the key. Whoever may rotates it where it lives, and then calls again: the version that is there is taken.',
    { reason: 'rotation_not_permitted' },
    error,
  );
}

function passForbidden(error: unknown): void {
  if (!(error instanceof AppError) || error.code !== 'forbidden') throw error;
}

async function readKeyRows(db: Queryable): Promise<ManifestKeyRow[]> {
  const keys = await readManifestKeys(db);
  return keys.filter((key): key is ManifestKeyRow => key.key_version !== null && key.signs_from !== null);
}

function latestDue(keys: readonly ManifestKeyRow[], now: Date): ManifestKeyRow | undefined {
  return keys
    .filter(({ signs_from, trusted_until }) => signs_from <= now && trusted_until === null)
    .reduce<ManifestKeyRow | undefined>(
      (latest, key) => (latest === undefined || isLater(key, latest) ? key : latest),
      undefined,
    );
}

/** Of two that sign from the same moment on, the newer version is the later one. */
function isLater(key: ManifestKeyRow, other: ManifestKeyRow): boolean {
  const byMs = key.signs_from.getTime() - other.signs_from.getTime();
  return byMs > 0 || (byMs === 0 && key.key_version > other.key_version);
}

/** The version that signs now, of those that are there. */
function signingOf(
  keys: readonly ManifestKeyRow[],
  versions: readonly KeyVersion[],
  now: Date,
): KeyVersion | undefined {
  const present = keys.filter(({ kid }) => versions.some((version) => version.kid === kid));
  const due = latestDue(present, now);
  return versions.find(({ kid }) => kid === due?.kid);
}

function asVersion({ kid, jwk, key_version }: ManifestKeyRow): KeyVersion {
  return { kid, jwk, version: key_version };
}

function stateOf(row: ManifestKeyRow, signingKid: string | undefined, now: Date): ManifestKeyState['state'] {
  if (row.trusted_until !== null && row.trusted_until <= now) return 'retired';
  if (row.kid === signingKid) return 'signs';
  return row.signs_from > now ? 'next' : 'former';
}
