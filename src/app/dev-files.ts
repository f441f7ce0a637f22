/** Files that `writ dev` leaves in its data folder for people: admin token, policy, certificate, address. */

import { randomUUID } from 'node:crypto';
import { lstat, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseApiKey } from '../aaa/api-key.ts';
import { createToken } from '../aaa/tokens.ts';
import { closeRoles } from '../aaa/roles.ts';
import { findTokenBySha256 } from '../aaa/token-sql.ts';
import { AppError } from '../domain/error.ts';
import type { Principal } from '../domain/principal.ts';
import { formatPolicy } from '../proof/policy.ts';
import type { Orchestrator } from './orchestrator.ts';

const yearS = 365 * 86_400;
const weekMs = 7 * 86_400_000;

/** Refuses a data folder that another user of the machine made or can write to: keys and tokens would be theirs too. */
export async function checkOwnFolder(dataDir: string): Promise<void> {
  const { uid, mode } = await lstat(dataDir);
  const self = process.getuid?.();
  if ((self === undefined || uid === self) && (mode & 0o022) === 0) return;
  throw new AppError(
    'invalid',
    `${dataDir} belongs to another user, or others can write to it. Choose a folder of your own.`,
    {
      reason: 'data_folder_shared',
    },
  );
}

/** Writes a file whole or not at all. */
export async function writeWholeFile(path: string, text: string, mode: number): Promise<void> {
  const next = `${path}.${randomUUID()}`;
  const file = await open(next, 'wx', mode);
  await file.writeFile(text);
  await file.sync();
  await file.close();
  await rename(next, path);
}

/** What a token is made with. */
type TokenContext = Pick<Orchestrator, 'database' | 'audit' | 'clock' | 'processId'>;

/** The administrator's token in a file (0600): the one that is there while it is good, else a new one. */
export async function ensureAdminToken(path: string, orchestrator: TokenContext): Promise<string> {
  const present = (await readIfThere(path))?.trim();
  if (present !== undefined && (await isGood(present, orchestrator))) return present;
  const { database, audit, clock, processId } = orchestrator;
  const { token } = await database.transaction((tx) =>
    createToken(
      tx,
      localAdministrator(processId),
      { name: 'admin', kind: 'pat', roles: ['admin'], expires_in_s: yearS },
      { audit, clock, requestId: processId },
    ),
  );
  await writeWholeFile(path, `${token}\n`, 0o600);
  return token;
}

/** Makes a join token, good for one node. */
export async function makeJoinToken(name: string, orchestrator: TokenContext): Promise<string> {
  const { database, audit, clock, processId } = orchestrator;
  const { token } = await database.transaction((tx) =>
    createToken(
      tx,
      localAdministrator(processId),
      { name, kind: 'join', roles: [], expires_in_s: 900 },
      { audit, clock, requestId: processId },
    ),
  );
  return token;
}

/** Leaves the log's policy once: the auditor keeps it, and a later one would be no anchor. */
export async function ensurePolicy(path: string, vkey: string): Promise<void> {
  if ((await readIfThere(path)) === undefined) await writeWholeFile(path, formatPolicy(vkey), 0o644);
}

/** Tells commands in this folder where the API is; taken away when it stops. */
export async function writeAddress(dataDir: string, url: string): Promise<() => Promise<void>> {
  const path = join(dataDir, 'url');
  await writeWholeFile(path, `${url}\n`, 0o644);
  return () => rm(path, { force: true });
}

async function isGood(token: string, { database, clock }: TokenContext): Promise<boolean> {
  const parsed = parseApiKey(token);
  const row = parsed === undefined ? undefined : await findTokenBySha256(database, parsed.sha256);
  return row?.revoked_at === null && row.expires_at.getTime() > clock.now() + weekMs;
}

/** Whoever can read the data folder holds its keys, and so is its administrator. */
function localAdministrator(processId: string): Principal {
  return {
    id: 'writ',
    kind: 'system',
    method: 'internal',
    credential_id: processId,
    ...closeRoles(['admin']),
    scope: null,
    expires_at: null,
    networks: [],
    ip: null,
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
