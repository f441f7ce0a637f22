/** A pool of connections to PostgreSQL: statements, transactions, and failures told in one way. */
import pg from 'pg';
import { AppError } from '../../domain/error.ts';
import { translateFailure } from './failure.ts';
import { typeParsers } from './type-parsers.ts';

/** A statement to run. With a `name` it is prepared once for each connection; one name always means one text. */
export interface Statement {
  name?: string;
  text: string;
  values?: readonly unknown[];
}

/** What a statement gave. `rowCount` counts the rows that were returned or changed. */
export interface QueryOutcome<Row> {
  rows: Row[];
  rowCount: number;
}

/**
 * Something that runs statements. `int8` arrives as a number (an error beyond 2^53 - 1), `timestamptz` as a Date, `bytea` as
 * a Buffer, arrays as arrays. Fails `unavailable` as `translateFailure` says; other errors of the server pass unchanged
 * (`sqlState` tells their code).
 */
export interface Queryable {
  query<Row extends object = Record<string, unknown>>(
    statement: string | Statement,
    values?: readonly unknown[],
  ): Promise<QueryOutcome<Row>>;
}

/** An open transaction, good until the function it was handed to ends. Statements of one transaction run in order. */
export type Transaction = Queryable;

export interface TransactionOptions {
  /** Default `read committed`. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable';
  /** Refuses writes. Default false. */
  readOnly?: boolean;
}

/** A database. Statements outside of `transaction` commit by themselves. */
export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction: commits when it returns, rolls back and rethrows when it throws. Nothing is tried again. When
   * the connection is lost while committing, it may have committed all the same.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** Statements sent so far, those that begin and end transactions included. */
  statements(): number;
  /** Waits for what is running, then closes all connections. Calling it twice does nothing. */
  close(): Promise<void>;
}

export interface PoolOptions {
  /** `postgres://…`; may carry `sslmode` and the like. */
  url: string;
  /** Connections at most; statements beyond wait up to `connectTimeoutMs`. */
  max: number;
  /** Role that every connection takes on (`SET ROLE`), with the rights of the service and no more. */
  role?: string;
  /** Shown by `pg_stat_activity`. Default `writ`. */
  applicationName?: string;
  /** For a new connection, or for one to become free. Default 5 s. */
  connectTimeoutMs?: number;
  /** For one statement, on the server. Default 30 s. */
  statementTimeoutMs?: number;
  /** For one lock. Default 10 s. */
  lockTimeoutMs?: number;
}

/** A lost network is noticed by the client this long after the server should have given up by itself. */
const UNANSWERED_MARGIN_MS = 5_000;
/**
 * Ways of reading that the service never means: its tables are planned for while they are empty, and the plan is kept. Every row it wants is
 * found by an index, in the order of that index.
 */
const UNMEANT_PLANS = ['seqscan', 'bitmapscan', 'hashjoin', 'mergejoin', 'material'];
const ROLE_PATTERN = /^[a-z_][a-z0-9_]{0,62}$/;
const LOST_CONNECTION = 'database_unavailable';

/** Opens a pool. Connections are made when they are needed, so this neither waits nor fails. */
export function createPool(options: PoolOptions): Database {
  const pool = new pg.Pool(clientConfig(options));
  // An idle or busy connection that breaks reports it here as well; who uses it gets the error from the statement.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  let statements = 0;
  let closing: Promise<void> | undefined;

  async function run<Row extends object>(
    on: pg.Pool | pg.PoolClient,
    statement: string | Statement,
    values?: readonly unknown[],
  ) {
    statements += 1;
    try {
      const { rows, rowCount } = await on.query<Row & pg.QueryResultRow>(queryConfig(statement, values));
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    } catch (error) {
      throw translateFailure(error);
    }
  }

  async function transaction<T>(work: (tx: Transaction) => Promise<T>, how: TransactionOptions = {}): Promise<T> {
    const client = await pool.connect().catch((error: unknown) => {
      throw translateFailure(error);
    });
    let broken = false;
    try {
      await run(client, beginText(how));
      const result = await work({ query: (statement, values) => run(client, statement, values) });
      await run(client, 'commit');
      return result;
    } catch (error) {
      broken = isLost(error) || !(await rolledBack(client));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async function rolledBack(client: pg.PoolClient): Promise<boolean> {
    return run(client, 'rollback').then(
      () => true,
      () => false,
    );
  }

  return {
    query: (statement, values) => run(pool, statement, values),
    transaction,
    statements: () => statements,
    close: () => (closing ??= pool.end()),
  };
}

function clientConfig(options: PoolOptions): pg.PoolConfig {
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
  if (options.role !== undefined && !ROLE_PATTERN.test(options.role)) {
    throw new TypeError(`not a role's name: ${options.role}`);
  }
  return {
    connectionString: options.url,
    max: options.max,
    application_name: options.applicationName ?? 'writ',
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + UNANSWERED_MARGIN_MS,
    lock_timeout: options.lockTimeoutMs ?? 10_000,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    types: typeParsers,
    ...(options.role === undefined ? {} : { options: serviceOptions(options.role) }),
  };
}

/** What a connection begins with, in the form of `PGOPTIONS`. Statements are short: none is worth compiling, or several processes. */
function serviceOptions(role: string): string {
  const settings = [
    `role=${role}`,
    'jit=off',
    'max_parallel_workers_per_gather=0',
    ...UNMEANT_PLANS.map((plan) => `enable_${plan}=off`),
  ];
  return settings.map((setting) => `-c ${setting}`).join(' ');
}

function queryConfig(statement: string | Statement, values: readonly unknown[] | undefined): pg.QueryConfig {
  if (typeof statement === 'string') {
    return values === undefined ? { text: statement } : { text: statement, values: [...values] };
  }
  const given = values ?? statement.values;
  return {
    text: statement.text,
    ...(statement.name === undefined ? {} : { name: statement.name }),
    ...(given === undefined ? {} : { values: [...given] }),
  };
}

function beginText({ isolation, readOnly }: TransactionOptions): string {
  const level = isolation === undefined ? '' : ` isolation level ${isolation}`;
  return `begin${level}${readOnly === true ? ' read only' : ''}`;
}

function isLost(error: unknown): boolean {
  return error instanceof AppError && error.reason === LOST_CONNECTION;
}
