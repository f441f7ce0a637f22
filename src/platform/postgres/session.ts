/** One connection of its own, for work that a pool's connection must not do: migrations, listening, administration. */
import pg from 'pg';
import { translateFailure } from './failure.ts';
import { typeParsers } from './type-parsers.ts';

export interface SessionOptions {
  url: string;
  applicationName: string;
  /** Default 5 s. */
  connectTimeoutMs?: number;
}

/** Connects. Fails `unavailable`; a connection that ends later never throws by itself, its next statement does. */
export async function openSession({ url, applicationName, connectTimeoutMs }: SessionOptions): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs ?? 5_000,
    keepAlive: true,
    types: typeParsers,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw translateFailure(error);
  }
  return client;
}
