/** Makes a certificate authority and certificates for services on this machine, with OpenSSL. Good for tests and for trying alone. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Where a certificate and its key lie, as PEM; keys have mode 0600. */
export interface CertificateFiles {
  certPath: string;
  keyPath: string;
}

/**
 * `server`: 127.0.0.1 and localhost. `writ-orchestrator`, `writ-consumer`: clients with that common name. To be refused:
 * `other-ca` says it is `writ-orchestrator`, by an authority that nobody knows, and `expired` was that once.
 */
export type CertificateName = 'server' | 'writ-orchestrator' | 'writ-consumer' | 'other-ca' | 'expired';

export interface Certificates {
  caPath: string;
  /** Of the authority, which may sign more. */
  caKeyPath: string;
  certificate(name: CertificateName): CertificateFiles;
  /** A client certificate with that common name, made anew at each call. */
  issue(commonName: string): Promise<CertificateFiles>;
}

interface Order {
  /** Of the files, without extension. */
  name: string;
  commonName: string;
  /** Folder of the authority that signs. */
  authority: string;
  use: 'serverAuth' | 'clientAuth';
  subjectAltName?: string;
  days?: { from: Date; to: Date };
}

const run = promisify(execFile);
const DAY_MS = 86_400_000;
const LIFE_DAYS = 365;
const CA = 'ca';
const OTHER_CA = 'other-ca-authority';
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];
/** The least that `openssl ca` works by; `x509 -req` cannot make a certificate that has expired. */
const CONFIGURATION = `[ca]
default_ca = authority
[authority]
dir = .
database = index.txt
new_certs_dir = .
default_md = sha256
unique_subject = no
rand_serial = yes
policy = names
[names]
commonName = supplied
`;

/** Makes them in `dir` if they are not there, all or nothing. Fails where there is no `openssl`. */
export async function makeCertificates(dir: string): Promise<Certificates> {
  if (!(await exists(dir))) {
    const partial = await mkdtemp(`${dir}.partial-`);
    try {
      await makeAll(partial);
      await rename(partial, dir);
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      // Somebody else was faster.
      if (!(await exists(dir))) throw error;
    }
  }
  let issued = 0;
  return {
    caPath: join(dir, CA, 'ca.pem'),
    caKeyPath: join(dir, CA, 'ca.key'),
    certificate: (name) => filesOf(dir, name),
    issue: async (commonName) => {
      issued += 1;
      const name = `issued-${process.pid}-${issued}`;
      await issue(dir, { name, commonName, authority: CA, use: 'clientAuth' });
      return filesOf(dir, name);
    },
  };
}

async function makeAll(dir: string): Promise<void> {
  await makeAuthority(join(dir, CA), 'Writ test CA');
  await makeAuthority(join(dir, OTHER_CA), 'Another test CA');
  const client = { commonName: 'writ-orchestrator', authority: CA, use: 'clientAuth' } as const;
  const lastYear = { from: daysFromNow(-400), to: daysFromNow(-35) };
  const orders: Order[] = [
    {
      name: 'server',
      commonName: 'localhost',
      authority: CA,
      use: 'serverAuth',
      subjectAltName: 'DNS:localhost,IP:127.0.0.1',
    },
    { ...client, name: 'writ-orchestrator' },
    { ...client, name: 'writ-consumer', commonName: 'writ-consumer' },
    { ...client, name: 'other-ca', authority: OTHER_CA },
    { ...client, name: 'expired', days: lastYear },
  ];
  for (const order of orders) await issue(dir, order);
}

async function makeAuthority(folder: string, commonName: string): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, 'openssl.cnf'), CONFIGURATION);
  await writeFile(join(folder, 'index.txt'), '');
  const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
  await openssl(folder, [
    ...['req', '-x509', ...CURVE, '-keyout', 'ca.key', '-out', 'ca.pem'],
    ...['-days', String(10 * LIFE_DAYS), '-subj', `/CN=${commonName}`],
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ]);
}

async function issue(dir: string, order: Order): Promise<void> {
  const { certPath, keyPath } = filesOf(dir, order.name);
  const { from, to } = order.days ?? { from: daysFromNow(-1), to: daysFromNow(LIFE_DAYS) };
  const request = `${certPath}.csr`;
  const extensions = `${certPath}.ext`;
  await writeFile(
    extensions,
    [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature',
      `extendedKeyUsage=${order.use}`,
      ...(order.subjectAltName === undefined ? [] : [`subjectAltName=${order.subjectAltName}`]),
    ].join('\n'),
  );
  await openssl(dir, [
    'req',
    '-new',
    ...CURVE,
    '-keyout',
    keyPath,
    '-out',
    request,
    '-subj',
    `/CN=${order.commonName}`,
  ]);
  await openssl(join(dir, order.authority), [
    ...['ca', '-batch', '-notext', '-config', 'openssl.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key'],
    ...['-in', request, '-out', certPath, '-extfile', extensions],
    ...['-startdate', asn1Time(from), '-enddate', asn1Time(to)],
  ]);
  await Promise.all([rm(request), rm(extensions)]);
}

/** A program of the machine under a mask that keeps keys to their owner. */
async function openssl(cwd: string, args: readonly string[]): Promise<void> {
  await run('sh', ['-c', 'umask 077; exec openssl "$@"', 'sh', ...args], { cwd });
}

function filesOf(dir: string, name: string): CertificateFiles {
  return { certPath: join(dir, `${name}.pem`), keyPath: join(dir, `${name}.key`) };
}

function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS);
}

/** GeneralizedTime as RFC 5280 §4.1.2.5.2 wants it: `20260102030405Z`. */
function asn1Time(date: Date): string {
  return date
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:T]/g, '');
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
