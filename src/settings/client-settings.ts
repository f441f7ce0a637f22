/** Where the command line finds its server and its credential: flags, environment, or the folder of a `writ dev`. */

import { readFile, stat } from 'node:fs/promises';
import { BlockList, isIPv6 } from 'node:net';
import { dirname, join } from 'node:path';
import { AppError } from '../domain/error.ts';

export interface ClientSettings {
  url: string;
  /** Which setting the address comes from, for messages. */
  urlSource: '--url' | 'WRIT_URL' | '.writ/url' | 'default';
  token?: string;
  /** PEM of the authority that signed the server's certificate. */
  caCert?: string;
}

export interface ClientSettingsInput {
  url?: string | undefined;
  tokenFile?: string | undefined;
  caCertFile?: string | undefined;
  environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** The folder that the command runs in. */
  folder: string;
}

const defaultUrl = 'http://127.0.0.1:8080';
const fileMaxBytes = 64 * 1024;

/** Reads `WRIT_URL`, `WRIT_TOKEN` or `WRIT_TOKEN_FILE`, `WRIT_CACERT`; flags go first. Fails `invalid`. */
export async function readClientSettings(input: ClientSettingsInput): Promise<ClientSettings> {
  const environment = input.environment ?? process.env;
  const set = (name: string): string | undefined => (environment[name] === '' ? undefined : environment[name]);
  const { url, urlSource } = await findUrl(input, set('WRIT_URL'));
  const token = await findToken(input, set('WRIT_TOKEN'), set('WRIT_TOKEN_FILE'), url);
  const caCertFile = input.caCertFile ?? set('WRIT_CACERT');
  const caCert = caCertFile === undefined ? undefined : await readNamed(caCertFile, 'certificate');
  return {
    url,
    urlSource,
    ...(token === undefined ? {} : { token }),
    ...(caCert === undefined ? {} : { caCert }),
  };
}

async function findUrl(
  { url, folder }: ClientSettingsInput,
  fromEnvironment: string | undefined,
): Promise<Pick<ClientSettings, 'url' | 'urlSource'>> {
  if (url !== undefined) return { url, urlSource: '--url' };
  if (fromEnvironment !== undefined) return { url: fromEnvironment, urlSource: 'WRIT_URL' };
  const fromFolder = (await readIfThere(join(folder, '.writ', 'url')))?.trim();
  if (fromFolder === undefined || fromFolder === '') return { url: defaultUrl, urlSource: 'default' };
  // Whoever fills this folder (a clone, an archive) must not learn a token that was meant for another server.
  if (!isLoopbackUrl(fromFolder)) {
    throw new AppError(
      'invalid',
      '.writ/url names another machine: give the address with --url or WRIT_URL if it is meant.',
    );
  }
  return { url: fromFolder, urlSource: '.writ/url' };
}

async function findToken(
  { tokenFile, folder }: ClientSettingsInput,
  token: string | undefined,
  environmentFile: string | undefined,
  url: string,
): Promise<string | undefined> {
  if (tokenFile !== undefined) return checkToken(await readNamed(tokenFile, 'token'), tokenFile);
  if (token !== undefined && environmentFile !== undefined) {
    throw new AppError('invalid', 'WRIT_TOKEN and WRIT_TOKEN_FILE are both set: unset one of them.');
  }
  if (token !== undefined) return checkToken(token, 'WRIT_TOKEN');
  if (environmentFile !== undefined) return checkToken(await readNamed(environmentFile, 'token'), environmentFile);
  // The folder's token is that of a server on this machine, and goes to no other.
  if (!isLoopbackUrl(url)) return undefined;
  const admin = await readIfThere(join(folder, '.writ', 'admin.token'));
  return admin === undefined ? undefined : checkToken(admin, '.writ/admin.token');
}

/** Never shows the text: it may be a secret that was put into the wrong place. */
function checkToken(text: string, source: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw new AppError('invalid', `What ${source} holds is no token.`);
  return token;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether a URL leads to this very machine. */
export function isLoopbackUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const host = new URL(text).hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4');
}

async function readNamed(path: string, what: string): Promise<string> {
  try {
    return await readSmall(path);
  } catch (error) {
    throw new AppError('invalid', `The ${what} file ${path} cannot be read${reasonOf(error)}.`, {}, error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    // A folder that another user left here decides nothing.
    const { uid, mode } = await stat(dirname(path));
    const self = process.getuid?.();
    if ((self !== undefined && uid !== self) || (mode & 0o022) !== 0) return undefined;
    return await readSmall(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new AppError('invalid', `${path} is there and cannot be read${reasonOf(error)}.`, {}, error);
  }
}

async function readSmall(path: string): Promise<string> {
  const bytes = await readFile(path);
  if (bytes.length > fileMaxBytes) throw new AppError('invalid', `${path} is too large for what it should hold.`);
  return bytes.toString('utf8');
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
}
