/** Who a node is: made when it joins, kept in its data folder, readable by nobody else. */

import { readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../domain/error.ts';
import { joinAnswer, type JoinAnswer } from '../domain/node.ts';
import { syncDirectory, systemErrorCode, writeSynced } from '../platform/keys/private-file.ts';

/** What a join gave; heartbeats renew credential, certificate, trust and configuration. */
const identity = joinAnswer
  .pick({
    node_id: true,
    credential: true,
    heartbeat_interval_s: true,
    trust: true,
    config: true,
    config_version: true,
    broker: true,
  })
  .extend({
    /** Client certificate for the broker with its chain, and its key, PEM; null where the broker asks for none. */
    certificate: z.object({ chain: z.string(), key: z.string() }).nullable().default(null),
  });
export type Identity = z.infer<typeof identity>;

/**
 * Owns the file. What changes is on disk, whole, when `update` resolves; changes go one after the other. Invariant: `value` is what is on
 * disk. A credential that was used and is not there after a restart would make the node pass for a copy of itself.
 */
export class IdentityFile {
  readonly #path: string;
  #value: Identity;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, value: Identity) {
    this.#path = path;
    this.#value = value;
  }

  /** The identity in a data folder; undefined where the node has not joined. Fails `invalid` where the file is damaged. */
  static async open(folder: string): Promise<IdentityFile | undefined> {
    const path = pathIn(folder);
    try {
      return new IdentityFile(path, parse(path, await readFile(path, 'utf8')));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Keeps what a join answered, with the key of the certificate. */
  static async create(folder: string, answer: JoinAnswer, keyPem: string | undefined): Promise<IdentityFile> {
    const { certificate, ...rest } = answer;
    const isCertified = certificate !== undefined && keyPem !== undefined;
    const value = { ...rest, certificate: isCertified ? { chain: certificate, key: keyPem } : null };
    const file = new IdentityFile(pathIn(folder), identity.parse(value));
    await file.update({});
    return file;
  }

  get value(): Identity {
    return this.#value;
  }

  async update(change: Partial<Identity>): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write({ ...this.#value, ...change }));
    await this.#writing;
  }

  async #write(value: Identity): Promise<void> {
    const next = `${this.#path}.next`;
    // One that a process left behind when it died may have another mode.
    await rm(next, { force: true });
    await writeSynced(next, JSON.stringify(value), 0o600);
    await rename(next, this.#path);
    this.#value = value;
    await syncDirectory(dirname(this.#path));
  }
}

/** What is wrong with the text is not quoted: it holds the node's credential and key. */
function parse(path: string, text: string): Identity {
  try {
    return identity.parse(JSON.parse(text));
  } catch {
    throw new AppError(
      'invalid',
      `${path} is damaged. Move the node's data folder away, and let the node join again with a new join token.`,
      { reason: 'identity_damaged' },
    );
  }
}

function pathIn(folder: string): string {
  return join(folder, 'identity.json');
}
