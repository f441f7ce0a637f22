/** One orchestrator of a rig, which a test can kill: others on the same database and broker go on. */

import { composeOrchestrator, type Orchestrator, type OrchestratorPorts } from '../../src/app/orchestrator.ts';
import { TaskChanges } from '../../src/doors/http/task-changes.ts';
import { AppError } from '../../src/domain/error.ts';
import { createNotifier } from '../../src/platform/postgres/notify.ts';
import type { Database, Statement } from '../../src/platform/postgres/pool.ts';

export interface Member {
  orchestrator: Orchestrator;
  /** Wakes calls that wait at this one. */
  changes: TaskChanges;
  /** Tasks whose end this one has brought about. */
  ended: ReadonlySet<string>;
  /** As if its process were gone: nothing of it reaches the database or the broker any more. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export interface MemberOptions extends Omit<OrchestratorPorts, 'onTasksEnded' | 'onPeerTasksEnded' | 'notifier'> {
  /** Where it listens to others; without it it knows of none. */
  notifyUrl?: string;
  /** Ends its connection to the broker without goodbye. */
  sever: () => Promise<void>;
}

/** Composes it; the caller starts its engine. */
export async function composeMember({ notifyUrl, sever, ...ports }: MemberOptions): Promise<Member> {
  const wire = { isCut: false };
  const database = cuttable(ports.database, wire);
  const changes = new TaskChanges();
  const ended = new Set<string>();
  const orchestrator = await composeOrchestrator({
    ...ports,
    database,
    ...(notifyUrl === undefined ? {} : { notifier: createNotifier({ database, url: notifyUrl }) }),
    onTasksEnded: (taskIds) => {
      for (const taskId of taskIds) ended.add(taskId);
      changes.notify(taskIds);
    },
    onPeerTasksEnded: () => {
      changes.notifyAll();
    },
  });
  return {
    ...{ orchestrator, changes, ended },
    kill: async () => {
      wire.isCut = true;
      await sever();
    },
    stop: async () => {
      await orchestrator.engine.stop().catch((error: unknown) => {
        if (!wire.isCut) throw error;
      });
    },
  };
}

function cuttable(database: Database, wire: { readonly isCut: boolean }): Database {
  const whenWhole = <T>(use: () => Promise<T>): Promise<T> =>
    wire.isCut ? Promise.reject(new AppError('unavailable', 'cut off')) : use();
  return {
    query: <Row extends object>(statement: string | Statement, values?: readonly unknown[]) =>
      whenWhole(() => database.query<Row>(statement, values)),
    transaction: (work, options) => whenWhole(() => database.transaction(work, options)),
    statements: () => database.statements(),
    close: () => database.close(),
  };
}
