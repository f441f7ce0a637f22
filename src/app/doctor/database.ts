/** PostgreSQL: reachable, new enough, with this program's schema, and its role. */

import type { Clock } from '../../domain/clock.ts';
import { pendingMigrations } from '../../platform/postgres/migrate.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import { openSession } from '../../platform/postgres/session.ts';
import { installed } from '../installed.ts';
import { examineClock, readClocks } from './clock-skew.ts';
import { wordsOf, type Examination } from './finding.ts';

const versionLeast = 15;
const check = 'postgresql';

type Session = Awaited<ReturnType<typeof openSession>>;

/** Changes nothing. */
export async function examineDatabase(examination: Examination, url: string, clock: Clock): Promise<void> {
  if (url === '') {
    examination.warn(check, 'Not checked: DATABASE_URL is not set.');
    return;
  }
  let session: Session;
  try {
    session = await openSession({ url, applicationName: 'writ doctor' });
  } catch (error) {
    const { message, hint } = databaseProblem(error);
    examination.fail(check, message, hint);
    return;
  }
  examination.defer(() => session.end());
  await session.query("set statement_timeout = '10s'");
  await examineServer(examination, session);
  await examineSchema(examination, session);
  await examineRole(examination, url);
  const reading = await readClocks(clock, async () => {
    const { rows } = await session.query<{ now: Date }>('select clock_timestamp() as now');
    return rows[0]?.now.getTime() ?? Number.NaN;
  });
  examineClock(examination, 'postgresql clock', 'PostgreSQL', reading);
}

async function examineServer(examination: Examination, session: Session): Promise<void> {
  const { rows } = await session.query<{ version: string; number: string; is_read_only: boolean }>(
    `select current_setting('server_version') as version, current_setting('server_version_num') as number,
            pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean as is_read_only`,
  );
  const { version = '', number = '0', is_read_only: isReadOnly = false } = rows[0] ?? {};
  if (Number(number) < versionLeast * 10_000) {
    examination.fail(check, `PostgreSQL is version ${version}.`, `Use ${versionLeast.toString()} or newer.`);
  } else if (isReadOnly) {
    const hint = 'Name the primary in DATABASE_URL, with target_session_attrs=read-write where there are several.';
    examination.fail(check, `PostgreSQL ${version} answers and takes no writes: it is a replica.`, hint);
  } else {
    examination.ok(check, `PostgreSQL ${version} answers.`);
  }
}

async function examineSchema(examination: Examination, session: Session): Promise<void> {
  try {
    const pending = await pendingMigrations(session, installed('migrations'));
    const { length } = pending;
    if (length === 0) {
      examination.ok('postgresql schema', 'The schema is that of this version.');
      return;
    }
    const names = pending.length > 3 ? `${pending.slice(0, 3).join(', ')}, …` : pending.join(', ');
    examination.fail(
      'postgresql schema',
      `The schema is behind this version: ${length.toString()} migrations are not applied (${names}).`,
      'writ serve applies them when it starts, and writ init does.',
    );
  } catch (error) {
    const message = `The schema is not that of this version: ${wordsOf(error)}`;
    examination.fail('postgresql schema', message, 'Install the version that the database was migrated by.');
  }
}

/** As `writ serve` does it: the role is taken on while connecting. */
async function examineRole(examination: Examination, url: string): Promise<void> {
  const pool = createPool({ url, max: 1, role: 'writ_service', applicationName: 'writ doctor' });
  examination.defer(() => pool.close());
  try {
    await pool.query('select size from audit_head');
    examination.ok('postgresql role', 'The role writ_service can be taken on, and may read the log.');
  } catch (error) {
    const { message, hint } = databaseProblem(error);
    examination.fail('postgresql role', `The role writ_service cannot be used: ${message}`, hint);
  }
}

/** What is wrong with a connection or a statement, and what to do. */
export function databaseProblem(error: unknown): { message: string; hint: string } {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const text = `${code} ${wordsOf(cause)}`;
  const found = problems.find(({ matches }) => matches.test(text));
  if (found !== undefined) return found;
  return { message: wordsOf(error), hint: 'Compare DATABASE_URL with the server, and look into its log.' };
}

const problems: readonly { matches: RegExp; message: string; hint: string }[] = [
  {
    matches: /^ECONNREFUSED/,
    message: 'PostgreSQL does not answer: nothing listens at the address in DATABASE_URL.',
    hint: 'Start it, or correct host and port.',
  },
  {
    matches: /^(ENOTFOUND|EAI_AGAIN)/,
    message: 'The host in DATABASE_URL has no address.',
    hint: 'Correct it, or the name service.',
  },
  {
    matches: /^ETIMEDOUT|timeout (exceeded|expired)|^ Connection terminated due to connection timeout/,
    message: 'PostgreSQL does not answer in time at the address in DATABASE_URL.',
    hint: 'Look at the network between, and at firewalls.',
  },
  {
    matches: /^28P01/,
    message: 'PostgreSQL refuses user or password of DATABASE_URL.',
    hint: 'Set the right ones; a password is percent-encoded there.',
  },
  {
    matches: /^28000/,
    message: 'PostgreSQL lets the user of DATABASE_URL not in from here.',
    hint: 'Look at pg_hba.conf, and whether it asks for TLS (sslmode=verify-full).',
  },
  { matches: /^3D000/, message: 'The database in DATABASE_URL does not exist.', hint: 'Make it: createdb.' },
  {
    matches: /^53300/,
    message: 'PostgreSQL takes no more connections.',
    hint: 'Raise max_connections, or lower DATABASE_POOL_MAX.',
  },
  {
    matches: /^22023|^42704/,
    message: 'the role is not there.',
    hint: 'Migrations make it: run writ init as a user who may make roles.',
  },
  {
    matches: /^42501/,
    message: 'the user of DATABASE_URL has not the right to.',
    hint: 'Run as a superuser: grant writ_service to the user of DATABASE_URL.',
  },
  { matches: /^42P01/, message: 'the tables are not there.', hint: 'Run writ init.' },
  {
    matches: /does not support SSL/,
    message: 'PostgreSQL does not speak TLS, and DATABASE_URL asks for it.',
    hint: 'Set ssl = on there.',
  },
  {
    matches: /^(SELF_SIGNED|UNABLE_TO|DEPTH_ZERO|CERT_|ERR_TLS)/,
    message: "PostgreSQL's certificate is not trusted, or is for another name.",
    hint: 'Give its authority with sslrootcert=FILE in DATABASE_URL, and use a name of the certificate.',
  },
];
