/** What the tables are filled with, by number: which task is in which state, and what everything is called. */

/** Orders of one manifest, results of one receipt. */
export const perManifest = 25;
/** Records that tell of as many tasks as one manifest holds: two submissions, the manifest, its receipt. */
export const recordsPerManifest = 4;
export const principals = 20;
export const sources = 3;
export const requirements = 4;
export const nodesMax = 200;
/** Nodes that have something in hand; the leases of the last two are over. */
export const busyNodes = 10;
export const lostNodes = 2;
/** Receipts of one boot: of the node that does half of the work, and of the others. */
export const bootOfBusiest = 1000;
export const bootOfOthers = 50;
/** When task 0 was created, in ms since the epoch, and how long after it the next one was. */
export const firstMs = Date.UTC(2026, 0, 1);
export const stepMs = 50;

/** Each kind of thing has its own ids. */
const kinds = {
  task: 1,
  manifest: 2,
  receipt: 3,
  node: 4,
  token: 5,
  boot: 6,
  record: 7,
  pending: 8,
} as const;

/** Tasks by state, in the order of their numbers: multiples of `perManifest`. */
const states = ['finished', 'in_doubt', 'running', 'dispatched', 'queued', 'waiting'] as const;
type State = (typeof states)[number];

/** How much of everything there is; `first` is the number of the first task. Nodes are those of all loads before it too. */
export interface LoadSizes extends Record<State, number> {
  first: number;
  nodes: number;
  tokens: number;
  /** Waiting tasks that are due, and queued ones that were not started in time. */
  due: number;
  expired: number;
  /** Running tasks that somebody asked to cancel. */
  cancel_requests: number;
  idempotency_keys: number;
  /** Records that are not chained yet. */
  pending: number;
}

/** Tables as they are right after an installation: planned for as if they were empty. */
export const handful: LoadSizes = {
  first: 0,
  finished: 50,
  in_doubt: 25,
  running: 25,
  dispatched: 25,
  queued: 50,
  waiting: 25,
  nodes: 12,
  tokens: 30,
  due: 2,
  expired: 2,
  cancel_requests: 2,
  idempotency_keys: 25,
  pending: 20,
};

/** The id of the `n`th thing of a kind: a UUIDv7 whose time is about that of the `n`th task. `idSql` says the same in SQL. */
function idOf(kind: keyof typeof kinds, n: number): string {
  const time = hex(firstMs + Math.floor(n / perManifest) * perManifest * stepMs, 12);
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8${kinds[kind]}00-${hex(n, 12)}`;
}

/** SQL for `idOf`; `n` is an expression of type bigint. */
export function idSql(kind: keyof typeof kinds, n: string): string {
  return idWithin(idStart(kind, `(${n}) / ${perManifest}`), n);
}

/** What ids of neighbours begin with: things of one kind whose numbers divided by `perManifest` are the same. */
export function idStart(kind: keyof typeof kinds, batch: string): string {
  return `lpad(to_hex(${firstMs} + (${batch}) * ${perManifest * stepMs}), 12, '0') || '70008${kinds[kind]}00'`;
}

/** The id that begins like this; neighbours are made in no time from what they have in common. */
export function idWithin(start: string, n: string): string {
  return `(${start} || lpad(to_hex(${n}), 12, '0'))::uuid`;
}

function hex(n: number, digits: number): string {
  return n.toString(16).padStart(digits, '0');
}

/** Numbers of what nobody knows begin here. */
const beyond = 1_000_000_000;

/** What a database was filled with, and how all of it is called. */
export class Load {
  readonly sizes: LoadSizes;
  readonly #shift: number;

  private constructor(sizes: LoadSizes, shift: number) {
    this.sizes = sizes;
    this.#shift = shift;
  }

  static of(sizes: LoadSizes): Load {
    return new Load(sizes, 0);
  }

  /** The same, but for names and ids that are in no table. */
  unknown(): Load {
    return new Load({ ...this.sizes, first: this.sizes.first + beyond }, beyond);
  }

  /** Whether what it names is in the tables. */
  get isKnown(): boolean {
    return this.#shift === 0;
  }

  id(kind: keyof typeof kinds, n: number): string {
    return idOf(kind, n + this.#shift);
  }

  /** The name of the `n`th of what has names. */
  name(prefix: string, n: number): string {
    return `${prefix}${(n + this.#shift).toString()}`;
  }

  /** Number of the first task in a state. */
  firstOf(state: State): number {
    let first = this.sizes.first;
    for (const one of states) {
      if (one === state) return first;
      first += this.sizes[one];
    }
    return first;
  }

  /** One number beyond the last task. */
  get end(): number {
    return this.firstOf('waiting') + this.sizes.waiting;
  }

  /** Records in the log with those of all loads before this one. */
  get logSize(): number {
    return (this.end / perManifest) * recordsPerManifest;
  }

  /** Ids of the tasks `from` … of a state, at most `count` of them. */
  tasks(state: State, count: number, from = 0): string[] {
    const first = this.firstOf(state);
    const length = Math.max(0, Math.min(count, this.sizes[state] - from));
    return Array.from({ length }, (_, n) => idOf('task', first + from + n));
  }

  /** Manifests whose orders are out: with the number and the node of each. */
  manifests(state: 'in_doubt' | 'running' | 'dispatched'): { n: number; jti: string; node_id: string }[] {
    const first = this.firstOf(state) / perManifest;
    return Array.from({ length: this.sizes[state] / perManifest }, (_, i) => ({
      n: first + i,
      jti: idOf('manifest', first + i),
      node_id: this.id('node', 1 + ((first + i) % busyNodes)),
    }));
  }

  /** Orders that nodes have in hand or had when they were lost. */
  get inHand(): number {
    return this.sizes.in_doubt + this.sizes.running + this.sizes.dispatched;
  }

  get live(): number {
    return this.inHand + this.sizes.queued + this.sizes.waiting;
  }

  /** What a queued task waits in. */
  windowOf(n: number): { requirement: number; principal: string; source: string } {
    return {
      principal: this.name('p', n % principals),
      source: `s${(Math.floor(n / principals) % sources).toString()}`,
      requirement: 1 + (Math.floor(n / (principals * sources)) % requirements),
    };
  }

  /** How many windows have work. */
  get windows(): number {
    return Math.min(principals * sources * requirements, this.inHand + this.sizes.queued);
  }
}
