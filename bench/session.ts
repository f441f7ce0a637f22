/** What benchmarks run in: the options, the installation of Writ that they share, and the peers. */

import type { Outcome } from './measure/outcome.ts';
import type { Options } from './options.ts';
import { partVersions } from './report/machine.ts';
import type { Cleanup } from './systems/cleanup.ts';
import { startHelper, type Helper } from './systems/helper.ts';
import { Peers } from './systems/peers.ts';
import { startWritSystem, type Writ, type WritShape } from './systems/writ.ts';

/** Writ, and the process that submits tasks to it. */
export interface Installation {
  writ: Writ;
  generator: Helper;
}

export interface Benchmark {
  name: string;
  /** What it measures, for `--list`. */
  line: string;
  run(session: Session): Promise<Outcome>;
}

interface Current extends Installation {
  key: string;
  /** Benchmarks that have used it. */
  users: string[];
}

/** Owns what runs: one installation of Writ at a time. */
export class Session {
  readonly options: Options;
  readonly cleanup: Cleanup;
  readonly peers: Peers;
  readonly outcomes = new Map<string, Outcome>();
  /** What the check of invariants said, by benchmark. */
  readonly verdicts = new Map<string, string>();
  /** What went wrong and did not end the run. */
  readonly failures: string[] = [];
  /** Versions of the parts that Writ has run on. */
  versions: Record<string, string> = {};
  #current: Current | undefined;
  #benchmark = '';

  constructor(options: Options, cleanup: Cleanup) {
    this.options = options;
    this.cleanup = cleanup;
    this.peers = new Peers(cleanup);
  }

  /** Runs it, and keeps its outcome. */
  async run({ name, run }: Benchmark): Promise<Outcome> {
    this.#benchmark = name;
    const outcome = await run(this);
    this.outcomes.set(name, outcome);
    return outcome;
  }

  say(text: string): void {
    console.error(
      `${Math.round(performance.now() / 1000)
        .toString()
        .padStart(5)} s  ${this.#benchmark}: ${text}`,
    );
  }

  fail(text: string): void {
    this.failures.push(`${this.#benchmark}: ${text}`);
    this.say(text);
  }

  /** Tasks of one run: as many as were asked for, or `normal`. */
  tasks(normal: number): number {
    return this.options.tasks ?? normal;
  }

  /**
   * An installation of this shape: the one that runs, or a new one. `isOwn` asks for one that no other benchmark has used or will use;
   * a quick run shares it all the same.
   */
  async installation(shape: WritShape = {}, isOwn = false): Promise<Installation> {
    const key = JSON.stringify([{ feed: 'batches', ...shape }, isOwn && !this.options.isQuick ? this.#benchmark : '']);
    if (this.#current?.key !== key) {
      await this.release();
      this.say('starting RabbitMQ, OpenBao, PostgreSQL and Writ');
      const writ = await startWritSystem(shape, this.cleanup);
      this.versions = await partVersions(writ);
      this.#current = { key, writ, generator: await startHelper('load/tasks.ts', {}, this.cleanup), users: [] };
    }
    if (!this.#current.users.includes(this.#benchmark)) this.#current.users.push(this.#benchmark);
    return this.#current;
  }

  /** Ends the installation that runs, after checking what must hold of it. */
  async release(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    const verdict = await this.#check(current.writ);
    for (const name of current.users) this.verdicts.set(name, verdict);
    await current.generator.stop();
    await current.writ.stop();
  }

  /** Ends the installation that runs as it is, where a benchmark has failed on it. */
  async discard(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    for (const name of current.users) this.verdicts.set(name, 'not checked, since a benchmark failed on it');
    await current.generator.stop();
    await current.writ.stop();
  }

  async #check(writ: Writ): Promise<string> {
    if (!this.options.checksInvariants) return 'not checked (--no-invariants)';
    this.say('checking the invariants');
    await writ.untilAtRest();
    const problems = await writ.problems();
    if (problems.length === 0) return 'hold';
    this.fail(`invariants are broken: ${problems.slice(0, 5).join('; ')}`);
    return `broken: ${problems.join('; ')}`;
  }
}
