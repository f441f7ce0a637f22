/**
 * Reads a telemetry queue of Writ and tells each event once, as a line of JSON, on standard output or in a file.
 *
 *   npm install amqplib@2.3.1 tsx          (Node 20.19 or newer, in a package of "type": "module")
 *   node --import=tsx consume-telemetry.ts --url amqps://HOST:5671/%2F --ca ca.pem --cert client.pem --key client.key
 *
 * Settings are arguments or variables of the environment: TELEMETRY_URL stands for --url, and so on. A message is
 * acknowledged when its events are written and the state, a JSON file, is replaced. What somebody should know goes to
 * standard error, a line of JSON each: `gap`, `late`, `rejected`, `disconnected`. A gap does not end the program.
 * SIGTERM ends it in order, with status 0. Status 1: the state or the output cannot be used; 2: a setting is wrong.
 */
import { existsSync, readFileSync } from 'node:fs';
import { open, rename, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, credentials, type ChannelModel, type ConsumeMessage } from 'amqplib';

/** Ids of the latest events: as many as `prefetch` messages hold, and as Writ may send again. */
const rememberedMax = 10_000;
const backoffInitialMs = 500;
const backoffMaxMs = 30_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const stopping = new AbortController();
const settings = readSettings();

/** Where an event stands: number `index` of the `count` events of the record `audit_seq`. */
type Place = Record<'audit_seq' | 'index' | 'count', number>;
/** The members that this program goes by. */
type TelemetryEvent = { event_id: string; attributes: Place & { previous_audit_seq: number } };
/** What is durable. `output_bytes`: so much of the output is committed, where it is a file. */
type State = { position: Place; recent: string[]; output_bytes: number | null };

async function main(): Promise<void> {
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stopping.abort());
  const journal = await Journal.open(settings.state, settings.output);
  let failures = 0;
  while (!stopping.signal.aborted) {
    const reason = await consume(journal, () => (failures = 0)).catch(String);
    if (stopping.signal.aborted) break;
    // After a time that grows, and that is another for each consumer.
    const delayMs = Math.random() * Math.min(backoffMaxMs, backoffInitialMs * 2 ** Math.min(failures++, 10));
    notice('disconnected', { reason, retry_in_s: Math.round(delayMs) / 1000 });
    await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  notice('stopped', { told: journal.told, repeated: journal.repeated });
}

function readSettings() {
  const setting = (name: string, fallback = '') => {
    return { type: 'string' as const, default: process.env[`TELEMETRY_${name.toUpperCase()}`] ?? fallback };
  };
  const files = { ca: setting('ca'), cert: setting('cert'), key: setting('key') };
  const own = { state: setting('state', 'telemetry-state.json'), output: setting('output') };
  const queue = { queue: setting('queue', 'telemetry.events'), prefetch: setting('prefetch', '20') };
  const options = { url: setting('url'), ...files, ...own, ...queue };
  const parse = () => parseArgs({ options }).values;
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    fail(2, (error as Error).message);
  }
  if (!/^amqps:\/\/([^/@:[\]]+|\[[0-9a-f:]+\])(:\d{1,5})?(\/[^/]*)?$/.test(values.url)) {
    fail(2, '--url is of the form amqps://HOST:PORT/VHOST; in the name of a virtual host, / is %2F');
  }
  if (!/^([1-9]\d{0,2}|1000)$/.test(values.prefetch)) fail(2, '--prefetch is a number from 1 to 1000');
  for (const name of ['ca', 'cert', 'key'] as const) if (!existsSync(values[name])) fail(2, `--${name} is no file`);
  return values;
}

/** One connection; answers why it ended. What arrived together is committed together, then acknowledged in order. */
async function consume(journal: Journal, onWorks: () => void): Promise<string> {
  const connection = await openConnection();
  let ended: string | undefined;
  let arrived: ConsumeMessage[] = [];
  let wake = (): void => undefined;
  const end = (reason: string): void => {
    ended ??= reason;
    wake();
  };
  connection.on('error', (error) => end(error.message));
  connection.on('close', (error) => end(error?.message ?? 'the broker ended the connection'));
  const stop = (): void => end('stopped');
  stopping.signal.addEventListener('abort', stop);
  try {
    const channel = await connection.createChannel();
    channel.on('error', (error) => end(error.message));
    await channel.prefetch(Number(settings.prefetch));
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message === null) end('the broker ended the consumer');
      else arrived.push(message);
      wake();
    };
    await channel.consume(settings.queue, onMessage);
    onWorks();
    for (;;) {
      if (arrived.length === 0 && ended === undefined) await new Promise<void>((resolve) => (wake = resolve));
      if (ended !== undefined) {
        // When the broker has answered this, it has the acknowledgements too.
        await channel.close().catch(() => undefined);
        return ended;
      }
      const burst = arrived;
      arrived = [];
      const readable = await journal.take(burst);
      for (const [i, message] of burst.entries()) {
        if (readable[i] === true) channel.ack(message);
        else channel.nack(message, false, false);
      }
    }
  } catch (error) {
    return ended ?? String(error);
  } finally {
    stopping.signal.removeEventListener('abort', stop);
    // What is not acknowledged goes back to the queue with the connection.
    await connection.close().catch(() => undefined);
  }
}

/** Mutual TLS. Files are read for each connection, so that a renewed certificate is used by the next. */
async function openConnection(): Promise<ChannelModel> {
  const url = new URL(settings.url);
  const [hostname, port] = [url.hostname.replaceAll(/[[\]]/g, ''), Number(url.port || 5671)];
  const vhost = decodeURIComponent(url.pathname.slice(1)) || '/';
  const [ca, cert, key] = [readFileSync(settings.ca), readFileSync(settings.cert), readFileSync(settings.key)];
  // Checks the chain and the name of the host. The client's certificate says who it is.
  const tls = { ca, cert, key, rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;
  const address = { protocol: 'amqps', hostname, port, vhost, heartbeat: 30 };
  return connect(address, { ...tls, credentials: credentials.external(), timeout: 10_000 });
}

/** Owns state and output. Invariant: all that the state says was told is in the output; on the disk, if it is a file. */
class Journal {
  told = 0;
  repeated = 0;
  readonly #path: string;
  readonly #output: FileHandle | undefined;
  readonly #recent: Set<string>;
  #position: Place;

  private constructor(path: string, output: FileHandle | undefined, { recent, position }: State) {
    this.#path = path;
    this.#output = output;
    this.#recent = new Set(recent);
    this.#position = position;
  }

  /** Cuts off what was written to the output and not committed: it comes again. */
  static async open(path: string, output: string): Promise<Journal> {
    const none: State = { position: { audit_seq: -1, index: -1, count: 0 }, recent: [], output_bytes: null };
    const state = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as State) : none;
    const file = output === '' ? undefined : await open(output, 'a');
    if (file !== undefined && state.output_bytes !== null) {
      const { size } = await file.stat();
      if (size < state.output_bytes) fail(1, `${output} is shorter than ${path} says: it is another file`);
      await file.truncate(state.output_bytes);
    }
    const journal = new Journal(path, file, state);
    await journal.take([]);
    return journal;
  }

  /** Tells what is new in the messages, and commits. Answers for each whether it is of the documented form. */
  async take(messages: readonly ConsumeMessage[]): Promise<boolean[]> {
    const lines: string[] = [];
    const readable = messages.map((message) => {
      try {
        for (const { event, line } of readEvents(message)) if (this.#place(event)) lines.push(line);
        return true;
      } catch (error) {
        notice('rejected', { message_id: message.properties.messageId, reason: (error as Error).message });
        return false;
      }
    });
    // A team with a database of its own writes events and state into that, in one transaction.
    await this.#write(lines.join(''))
      .then(() => this.#save())
      .catch((error: unknown) => fail(1, String(error)));
    return readable;
  }

  /** Whether the event is to be told. Drops what came before, tells the rest; late is what lies behind the position. */
  #place({ event_id, attributes: at }: TelemetryEvent): boolean {
    if (this.#recent.has(event_id)) {
      this.repeated += 1;
      return false;
    }
    this.told += 1;
    this.#recent.add(event_id);
    const { audit_seq, index, count } = at;
    if (
      audit_seq < this.#position.audit_seq ||
      (audit_seq === this.#position.audit_seq && index <= this.#position.index)
    ) {
      notice('late', { event_id, audit_seq, index });
    } else {
      for (const gap of gapsBefore(at, this.#position)) notice('gap', gap);
      this.#position = { audit_seq, index, count };
    }
    return true;
  }

  async #write(text: string): Promise<void> {
    await this.#output?.appendFile(text);
    await this.#output?.sync();
    if (this.#output !== undefined) return;
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error == null ? resolve() : reject(error)));
    });
  }

  /** All or nothing, and on the disk: written beside it, synced, renamed, and the folder synced. */
  async #save(): Promise<void> {
    for (const id of [...this.#recent].slice(0, -rememberedMax)) this.#recent.delete(id);
    const output_bytes = (await this.#output?.stat())?.size ?? null;
    const state: State = { position: this.#position, output_bytes, recent: [...this.#recent] };
    await writeFile(`${this.#path}.partial`, JSON.stringify(state), { mode: 0o600, flush: true });
    await rename(`${this.#path}.partial`, this.#path);
    const folder = await open(dirname(this.#path));
    await folder.sync().finally(() => folder.close());
  }
}

/** What is missing between a place and an event that comes after it. */
function gapsBefore(at: TelemetryEvent['attributes'], { audit_seq, index, count }: Place): Record<string, number>[] {
  const gaps: Record<string, number>[] = [];
  const isNext = at.audit_seq > audit_seq;
  const first = isNext ? 0 : index + 1;
  if (isNext && index + 1 < count) gaps.push({ audit_seq, from_index: index + 1, to_index: count - 1 });
  if (isNext && at.previous_audit_seq > audit_seq) {
    gaps.push({ from_audit_seq: audit_seq + 1, to_audit_seq: at.previous_audit_seq });
  }
  if (at.index > first) gaps.push({ audit_seq: at.audit_seq, from_index: first, to_index: at.index - 1 });
  return gaps;
}

/** The events of a message, each with its line. Throws where the message is not of the documented form. */
function readEvents({ content, properties }: ConsumeMessage): { event: TelemetryEvent; line: string }[] {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  if (properties.contentType === 'application/json') return [readEvent(text)];
  need(properties.contentType === 'application/x-ndjson', 'content_type');
  const lines = text.split('\n');
  const isWhole = lines.pop() === '' && lines.length > 0;
  need(isWhole && properties.headers?.['x-event-count'] === lines.length, 'x-event-count');
  return lines.map(readEvent);
}

/** Types and members that it does not know are passed on: there may be new ones at any time. */
function readEvent(text: string): { event: TelemetryEvent; line: string } {
  const event: unknown = JSON.parse(text);
  need(isObject(event), 'event');
  const { event_id: id, actor, target, attributes: at } = event;
  for (const name of ['event_id', 'event_type', 'timestamp', 'status']) need(typeof event[name] === 'string', name);
  need(uuid.test(String(id)), 'event_id');
  need(actor === null || isObject(actor), 'actor');
  need(target === null || isObject(target), 'target');
  need(isObject(at), 'attributes');
  const least = { audit_seq: 0, previous_audit_seq: -1, index: 0, count: 1 };
  for (const [name, value] of Object.entries(least))
    need(Number.isSafeInteger(at[name]) && Number(at[name]) >= value, name);
  const attributes = at as Place & { previous_audit_seq: number };
  need(attributes.previous_audit_seq < attributes.audit_seq && attributes.index < attributes.count, 'attributes');
  return { event: { event_id: String(id), attributes }, line: `${JSON.stringify(event)}\n` };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function need(condition: boolean, member: string): asserts condition {
  if (!condition) throw new Error(`not of the documented form: ${member}`);
}

function notice(name: string, fields: Record<string, unknown>): void {
  process.stderr.write(`${JSON.stringify({ notice: name, ...fields })}\n`);
}

function fail(status: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(status);
}

await main();
