/** What the tests of this room share: temporary folders, catalogs made of text, attempts, servers and certificates. */

import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExtendedKeyUsageExtension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { loadCatalog, type Catalog, type CatalogAction } from '../../src/tools/catalog.ts';
import type { ActionResult } from '../../src/tools/result.ts';
import { runAction, type ActionContext } from '../../src/tools/run.ts';

export const shippedTools = new URL('../../tools', import.meta.url).pathname;

/** A folder of its own and the way to be rid of it. */
export async function temporaryFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'writ-tools-')));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** An executable Node program. */
export async function writeProgram(folder: string, name: string, source: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!${process.execPath}\n${source}\n`);
  await chmod(path, 0o755);
  return path;
}

export interface EntryOptions {
  run: unknown;
  properties?: Record<string, unknown>;
  exit_codes?: Record<string, string>;
  effects?: string;
}

/** A catalog file's text: one tool with one action `go` (JSON is YAML). */
export function entryText(options: EntryOptions, over: Record<string, unknown> = {}): string {
  return JSON.stringify({
    tool: 'mine',
    version: '1',
    description: 'A tool.',
    actions: {
      go: {
        description: 'Goes.',
        required_role: 'operator',
        effects: options.effects ?? 'none',
        timeout_s: 10,
        parameters: { type: 'object', additionalProperties: false, properties: options.properties ?? {} },
        run: options.run,
        ...(options.exit_codes === undefined ? {} : { exit_codes: options.exit_codes }),
      },
    },
    ...over,
  });
}

/** Loads a catalog of one entry and gives its action. */
export async function loadAction(folder: string, options: EntryOptions): Promise<CatalogAction> {
  await writeFile(join(folder, 'mine.yaml'), entryText(options));
  return find(await loadCatalog([folder]), 'mine', 'go');
}

export function find(catalog: Catalog, tool: string, action: string): CatalogAction {
  const found = catalog.find(tool, action);
  if (found === undefined) throw new Error(`no ${tool}.${action}`);
  return found;
}

/** As the context, with the signal itself. */
export type RunOptions = Partial<Omit<ActionContext, 'signal'>> & { signal?: AbortSignal };

/** Runs an action, by default with every target allowed and plenty of time. */
export function run(
  action: CatalogAction,
  parameters: unknown,
  { signal = new AbortController().signal, ...over }: RunOptions = {},
): Promise<ActionResult> {
  return runAction(action, Buffer.from(JSON.stringify(parameters)), {
    scope: undefined,
    allowPrivate: true,
    timeoutMs: 20_000,
    signal: () => signal,
    workDir: join(tmpdir(), 'writ-tools-work'),
    ...over,
  });
}

export function outputOf(result: ActionResult): Record<string, unknown> {
  return JSON.parse(result.output.toString()) as Record<string, unknown>;
}

/** Listens on loopback; answers the port. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A self-signed P-256 certificate for the given names. */
export async function makeCertificate(options: {
  names: string[];
  notBefore: Date;
  notAfter: Date;
}): Promise<{ key: string; cert: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '0a1b2c',
    name: `CN=${options.names[0] ?? 'test'}, O=Writ tests`,
    notBefore: options.notBefore,
    notAfter: options.notAfter,
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new SubjectAlternativeNameExtension(options.names.map((value) => ({ type: 'dns' as const, value }))),
      new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
    ],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return { key, cert: certificate.toString('pem') };
}
