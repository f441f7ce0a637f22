/** Wakes other processes over PostgreSQL's NOTIFY, sparingly: a NOTIFY takes a lock that all committing transactions share. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { translateFailure } from './failure.ts';
import type { Queryable, Statement } from './pool.ts';
import { openSession } from './session.ts';

/**
 * Told that something may be there on this channel, with what `notify` said of it: a hint, which may be lost. Undefined where anything may
 * have been said: the connection came back.
 */
export type WakeHandler = (said: string | undefined) => void;

/**
 * Wakes listeners elsewhere; who calls knows already. Wakes are hints: one may stand for many, and some come for nothing (every time the connection
 * came back), so a listener that sleeps for ever without one is wrong.
 */
export interface Notifier {
  /**
   * Calls `handler` when another notifier has called `notify` for the channel after this returned. While the database is away nothing
   * comes; it is caught up with one wake. The answer takes the handler away again. Fails `unavailable` when the database is away now.
   */
  listen(channel: string, handler: WakeHandler): Promise<() => void>;
  /** To be called after the commit. Wakes the handlers of other notifiers within a few milliseconds. `said` is `saidMaxBytes` long at most. */
  notify(channel: string, said?: string): void;
  /** Stops; what has not been sent is dropped. */
  close(): Promise<void>;
}

export interface NotifierOptions {
  /** Sends the notifications. */
  database: Queryable;
  /** For the one connection that listens; a pooler that hands out connections by transaction does not do. */
  url: string;
  /** At most one NOTIFY in this time. Default 5 ms. */
  intervalMs?: number;
  /** First and longest wait before connecting again. Default 50 ms and 5 s, doubling. */
  backoffMs?: { first: number; longest: number };
}

/** PostgreSQL takes payloads of less than 8000 bytes; a part of them says who sent it. */
export const saidMaxBytes = 7900;

const CHANNEL_PATTERN = /^[a-z][a-z0-9_]{0,62}$/;

/** Starts a notifier; it connects with the first `listen`. */
export function createNotifier(options: NotifierOptions): Notifier {
  /** Payloads begin with it, so that this process knows its own notifications when they come back. */
  const self = `${randomUUID()} `;
  const handlers = new Map<string, Set<WakeHandler>>();
  const sender = createSender(options.database, self, options.intervalMs ?? 5);
  const ear = createEar(options, (channel, payload) => {
    if (payload?.startsWith(self) !== true) wake(channel, payload?.slice(self.length));
  });

  function wake(channel: string, said: string | undefined): void {
    for (const handler of [...(handlers.get(channel) ?? [])]) handler(said);
  }

  return {
    async listen(channel, handler) {
      checkChannel(channel);
      const known = handlers.get(channel) ?? new Set();
      handlers.set(channel, known.add(handler));
      try {
        await ear.add(channel);
      } catch (error) {
        known.delete(handler);
        throw translateFailure(error);
      }
      return () => void known.delete(handler);
    },
    notify(channel, said = '') {
      checkChannel(channel);
      if (Buffer.byteLength(said) > saidMaxBytes) throw new RangeError('too much is said with a notification');
      sender.send(channel, said);
    },
    async close() {
      handlers.clear();
      sender.stop();
      await ear.close();
    },
  };
}

function checkChannel(channel: string): void {
  if (!CHANNEL_PATTERN.test(channel)) throw new TypeError(`not a channel's name: ${channel}`);
}

/** The first wake goes at once; those of the next `intervalMs` go together when it is over. */
function createSender(database: Queryable, self: string, intervalMs: number) {
  const waiting = new Map<string, Set<string>>();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function flush(): void {
    timer = undefined;
    if (waiting.size === 0 || stopped) return;
    timer = setTimeout(flush, intervalMs);
    timer.unref();
    const statement = notifyStatement(waiting, self);
    waiting.clear();
    // Lost with its connection: listeners look for themselves when theirs comes back, and now and then anyway.
    database.query(statement).catch(() => undefined);
  }

  return {
    send(channel: string, said: string): void {
      waiting.set(channel, (waiting.get(channel) ?? new Set()).add(said));
      if (timer === undefined) flush();
    },
    stop(): void {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function notifyStatement(waiting: ReadonlyMap<string, ReadonlySet<string>>, self: string): Statement {
  const sent = [...waiting].flatMap(([channel, all]) => [...all].map((said) => ({ channel, payload: self + said })));
  return {
    name: 'notify',
    text: 'select pg_notify(c, p) from unnest($1::text[], $2::text[]) as n (c, p)',
    values: [sent.map(({ channel }) => channel), sent.map(({ payload }) => payload)],
  };
}

/** Holds the listening connection and makes it anew whenever it ends. */
function createEar(options: NotifierOptions, heard: (channel: string, payload: string | undefined) => void) {
  const { first, longest } = options.backoffMs ?? { first: 50, longest: 5_000 };
  const channels = new Set<string>();
  /** Channels that the present connection listens to. */
  const listening = new Set<string>();
  let session: Promise<pg.Client> | undefined;
  let retry: NodeJS.Timeout | undefined;
  let waitMs = first;
  let turn: Promise<void> = Promise.resolve();
  let closed = false;

  async function connect(): Promise<pg.Client> {
    const client = await openSession({ url: options.url, applicationName: 'writ listen' });
    client.on('notification', ({ channel, payload }) => heard(channel, payload));
    client.once('end', connectAgain);
    waitMs = first;
    return client;
  }

  function connectAgain(): void {
    session = undefined;
    listening.clear();
    if (closed || retry !== undefined) return;
    retry = setTimeout(() => {
      retry = undefined;
      void inTurn(listenToAll).then(
        // What was said meanwhile was not heard.
        () => channels.forEach((channel) => heard(channel, undefined)),
        connectAgain,
      );
    }, waitMs);
    retry.unref();
    waitMs = Math.min(waitMs * 2, longest);
  }

  async function listenToAll(): Promise<void> {
    if (closed) return;
    const client = await (session ??= connect());
    for (const channel of channels) {
      if (listening.has(channel)) continue;
      await client.query(`listen ${channel}`);
      listening.add(channel);
    }
  }

  /** One after the other: a connection takes one statement at a time. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  }

  return {
    async add(channel: string): Promise<void> {
      channels.add(channel);
      await inTurn(listenToAll).catch((error: unknown) => {
        connectAgain();
        throw error;
      });
    },
    async close(): Promise<void> {
      closed = true;
      clearTimeout(retry);
      const client = await session?.catch(() => undefined);
      await client?.end().catch(() => undefined);
    },
  };
}
