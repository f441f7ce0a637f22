/** A good log with everything that can happen to orders: several nodes, retries, lost, late and void, keys that change. */

import { ed25519Key, p256Key } from './keys.ts';
import { LogBuilder, type TestNode, type TestTask } from './log-builder.ts';

export interface GoodLog {
  log: LogBuilder;
  /** Hashes that the last record prunes. */
  pruned: Set<string>;
}

/**
 * Builds a log of at least `records` records that ends with a checkpoint. The manifest key changes from P-256 to
 * Ed25519 in the middle, and one node restarts.
 */
export function buildGoodLog(records = 60, options: { prune?: boolean } = {}): GoodLog {
  const log = new LogBuilder();
  const oldKey = p256Key(2);
  const newKey = ed25519Key(3);
  log.append({ type: 'service.start', outcome: 'success', data: { version: '0.1.0', note: 'Grüße, 世界 🌍' } });
  log.trustKey(log.logKeys[0] ?? oldKey, 'log');
  log.trustKey(oldKey, 'manifest');
  const nodes = [log.addNode(0), log.addNode(1), log.addNode(2)];
  log.append({
    type: 'auth.deny',
    outcome: 'deny',
    reason: 'token_expired',
    actor: { id: 'anonymous', kind: 'anonymous', ip: '203.0.113.9' },
    authz: { permission: 'tasks:submit' },
  });
  log.checkpoint();
  let key = oldKey;
  for (let round = 0; log.size < records; round++) {
    const node = nodes[round % nodes.length];
    if (node === undefined) throw new Error('there are nodes');
    playRound(log, key, node, round);
    if (round % 4 === 3) log.checkpoint();
    if (round === 5) log.reboot(node);
    if (round === 3) {
      log.trustKey(newKey, 'manifest');
      log.retireKey(oldKey);
      key = newKey;
    }
    log.nowMs += 1500;
  }
  const pruned = new Set<string>();
  if (options.prune === true) {
    for (const member of ['manifests.jsonl', 'receipts.jsonl']) {
      const first = [...log.evidence].find(([, evidence]) => evidence.member === member);
      if (first !== undefined) pruned.add(first[0]);
    }
    log.append({ type: 'evidence.prune', outcome: 'success', data: { sha256: [...pruned] } });
  }
  log.append({ type: 'log.heartbeat', outcome: 'success' });
  log.checkpoint();
  return { log, pruned };
}

/** One way or another of giving orders to a node and hearing of them. */
function playRound(log: LogBuilder, key: ReturnType<typeof p256Key>, node: TestNode, round: number): void {
  const tasks = log.submit(2 + (round % 3), round % 2 === 0 ? {} : { tool: 'tcp', action: 'connect', scope: 'lab' });
  const [first, ...others] = tasks;
  if (first === undefined) throw new Error('there are tasks');
  if (round % 5 === 1) voidFirst(log, key, node, tasks, round);
  const manifest = log.manifest(key, node, tasks);
  log.issue(manifest);
  if (round % 3 === 2) {
    // The first is lost, given again, and answered late beside the others that count.
    const late = log.receipt(
      node,
      [[first, 'interrupted'], ...others.map((task) => [task, 'succeeded'] as const)].map(
        ([task, status]) => [task, status] as [TestTask, 'succeeded'],
      ),
    );
    log.lose([[first.id, first.attempt]]);
    log.answer(late, 'accept', late.payload.results.slice(1));
    log.answer(late, 'late', late.payload.results.slice(0, 1));
    log.issue(log.manifest(key, node, [first]));
    log.answer(log.receipt(node, [[first, 'succeeded']]));
    return;
  }
  if (round % 3 === 1) {
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, task === first ? 'failed' : 'succeeded']),
      ),
    );
    log.issue(log.manifest(key, node, [first]));
    log.answer(log.receipt(node, [[first, 'timed_out']]));
    return;
  }
  // The second half of the results comes in a receipt of its own, and is recorded before the first.
  const one = log.receipt(node, [[first, 'succeeded']]);
  const two = log.receipt(
    node,
    others.map((task) => [task, 'succeeded']),
  );
  log.answer(two);
  log.answer(one);
}

/** A manifest that was withdrawn after it was issued, or never issued at all, its bytes kept or not. */
function voidFirst(
  log: LogBuilder,
  key: ReturnType<typeof p256Key>,
  node: TestNode,
  tasks: TestTask[],
  round: number,
): void {
  const manifest = log.manifest(key, node, tasks);
  if (round % 2 === 0) log.issue(manifest);
  log.voidManifest(manifest, round % 4 !== 3);
}
