/** `dns.lookup`: the records of a name, from the machine's resolver or from a named server. */

import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ActionFailure } from '../result.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { choice, optionalInteger, optionalText, requiredText } from './read-parameters.ts';

const types = ['A', 'AAAA', 'MX', 'TXT', 'CNAME', 'NS', 'SRV', 'PTR'] as const;
type RecordType = (typeof types)[number];
const defaultPort = 53;

/** Parameters: `name`, `type` (default `A`), `server` (an address; the only target), `server_port`. */
export const dnsLookup: Builtin = async (parameters, context) => {
  const name = requiredText(parameters, 'name');
  const type = choice(parameters, 'type', types);
  const server = optionalText(parameters, 'server');
  const port = optionalInteger(parameters, 'server_port', { min: 1, max: 65_535 }) ?? defaultPort;
  const startedMs = context.clock.monotonicMs();
  const answers = await ask({ name, type, server, port }, context);
  return {
    output: {
      name,
      type,
      server: server ?? null,
      answers,
      query_ms: Math.round(context.clock.monotonicMs() - startedMs),
    },
  };
};

interface Question {
  name: string;
  type: RecordType;
  server: string | undefined;
  port: number;
}

async function ask(question: Question, context: BuiltinContext): Promise<unknown[]> {
  try {
    // The machine's own look-up knows its hosts file; the resolver library does not.
    if (question.server === undefined && (question.type === 'A' || question.type === 'AAAA')) {
      const found = await lookup(question.name, { all: true, family: question.type === 'A' ? 4 : 6 });
      return sorted([...new Set(found.map(({ address }) => address))]);
    }
    return sorted(await askResolver(question, context));
  } catch (error) {
    throw failure(error, question);
  }
}

async function askResolver(question: Question, context: BuiltinContext): Promise<unknown[]> {
  const signal = context.signal();
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (question.server !== undefined)
    resolver.setServers([await serverAddress(question.server, question.port, context)]);
  const cancel = (): void => {
    resolver.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await queries[question.type](resolver, question.name);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

async function serverAddress(server: string, port: number, context: BuiltinContext): Promise<string> {
  if (isIP(server) === 0) throw new ActionFailure('payload_invalid', 'the parameter server must be an IP address');
  const [checked] = await context.resolve(server);
  if (checked === undefined) throw new ActionFailure('payload_invalid', 'the parameter server names no address');
  const host = checked.family === 6 ? `[${checked.address}]` : checked.address;
  return `${host}:${port.toString()}`;
}

const queries: Readonly<Record<RecordType, (resolver: Resolver, name: string) => Promise<unknown[]>>> = {
  A: (resolver, name) => resolver.resolve4(name),
  AAAA: (resolver, name) => resolver.resolve6(name),
  MX: (resolver, name) => resolver.resolveMx(name),
  TXT: async (resolver, name) => (await resolver.resolveTxt(name)).map((parts) => parts.join('')),
  CNAME: (resolver, name) => resolver.resolveCname(name),
  NS: (resolver, name) => resolver.resolveNs(name),
  SRV: (resolver, name) => resolver.resolveSrv(name),
  PTR: (resolver, name) => (isIP(name) === 0 ? resolver.resolvePtr(name) : resolver.reverse(name)),
};

/** Servers rotate their answers; the same records give the same output. */
function sorted(answers: readonly unknown[]): unknown[] {
  return answers
    .map((answer) => ({ answer, key: JSON.stringify(answer) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ answer }) => answer);
}

const failures: Readonly<Record<string, readonly [code: string, text: string, retryable: boolean]>> = {
  ENOTFOUND: ['name_not_found', 'there is no such name', false],
  ENODATA: ['no_data', 'the name has no record of this type', false],
  EBADNAME: ['name_invalid', 'not a name', false],
  EINVAL: ['name_invalid', 'not a name', false],
  EREFUSED: ['query_refused', 'the server refused the query', false],
  ESERVFAIL: ['server_failed', 'the server failed', true],
  ETIMEOUT: ['query_timed_out', 'no answer in time', true],
  EAI_AGAIN: ['query_timed_out', 'no answer in time', true],
  ECONNREFUSED: ['connection_refused', 'no server listens there', true],
};

function failure(error: unknown, question: Question): Error {
  if (!(error instanceof Error)) return new ActionFailure('query_failed', 'the query failed', { retryable: true });
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = Object.hasOwn(failures, code) ? failures[code] : undefined;
  if (known === undefined) return error;
  return new ActionFailure(known[0], `${question.type} of ${question.name}: ${known[1]}`, {
    retryable: known[2],
    cause: error,
  });
}
