/** Who a node is: made when it joins, kept in its data folder, readable by nobody else. */

import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { joinAnswer, type JoinAnswer } from '../domain/node.ts';

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

/** Owns the file. What changes is on disk, whole, when `update` resolves; changes go one after the other. */
export class IdentityFile {
  readonly #path: string;
  #value: Identity;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, value: Identity) {
    this.#path = path;
    this.#value = value;
  }

  /** The identity in a data folder; undefined where the node has not joined. */
  static async open(folder: string): Promise<IdentityFile | undefined> {
    const path = pathIn(folder);
    try {
      return new IdentityFile(path, identity.parse(JSON.parse(await readFile(path, 'utf8'))));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
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
    this.#value = { ...this.#value, ...change };
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write(this.#value));
    await this.#writing;
  }

  async #write(value: Identity): Promise<void> {
    const next = `${this.#path}.next`;
    const file = await open(next, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(value));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, this.#path);
  }
}

function pathIn(folder: string): string {
  return join(folder, 'identity.json');
}
