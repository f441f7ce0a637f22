/** Logs whose orders, manifests or receipts contradict each other, or are not all there. */

import { sha256Hex } from '../../src/proof/hash.ts';
import { wrongLog, absentLog, appendRaw, played, type Case } from './case.ts';

const orders: Case[] = [
  wrongLog('a manifest whose outcome is not success', 13, ({ log, key, node }) => {
    const { sha256, payload } = log.manifest(key, node, log.submit(1));
    appendRaw(log, { type: 'manifest.issue', outcome: 'deny', data: { manifest_sha256: sha256, jti: payload.jti } });
  }),
  wrongLog('a manifest that is recorded twice', 21, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.issue(manifest);
    log.issue(manifest);
  }),
  wrongLog('a manifest of another log', 22, ({ log, key, node }) => {
    log.issue(log.manifest(key, node, log.submit(1), { iss: 'audit.test.example/other' }));
  }),
  wrongLog('a record that names another jti than its manifest', 21, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.issue({ ...manifest, payload: { ...manifest.payload, jti: log.uuid() } });
  }),
  wrongLog('an attempt that is given twice', 17, ({ log, key, node, other }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.issue(
      log.manifest(
        key,
        other,
        tasks.map((task) => ({ ...task, attempt: 0 })),
      ),
    );
  }),
  wrongLog('a receipt that answers no order', 15, ({ log, node }) => {
    log.answer(
      log.receipt(
        node,
        log.submit(1).map((task) => [{ ...task, attempt: 1 }, 'succeeded']),
      ),
    );
  }),
  wrongLog('a receipt of another node than the manifest names', 15, ({ log, key, node, other }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        other,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('an order that is answered twice', 15, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    for (let twice = 0; twice < 2; twice++)
      log.answer(
        log.receipt(
          node,
          tasks.map((task) => [task, 'succeeded']),
        ),
      );
  }),
  wrongLog('an order that is lost after it was answered', 15, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
    log.lose(tasks.map((task) => [task.id, task.attempt]));
  }),
  absentLog('late results of orders that their node never had, or that have no stop', 0, undefined, (setting) => {
    const { log, key, node, other } = setting;
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    const invented = log.submit(1).map((task) => ({ ...task, attempt: 3 }));
    for (const answered of [tasks, invented]) {
      log.answer(
        log.receipt(
          other,
          answered.map((task) => [task, 'succeeded']),
        ),
        'late',
      );
    }
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
      'late',
    );
  }),
  wrongLog('a lost attempt that no manifest gave', 15, ({ log }) => {
    log.lose([[log.uuid(), 1]]);
  }),
  wrongLog('a void manifest that was answered', 16, ({ log, key, node }) => {
    const tasks = log.submit(1);
    const manifest = log.manifest(key, node, tasks);
    log.issue(manifest);
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
    log.voidManifest(manifest);
  }),
  wrongLog('an answer to a void manifest', 16, ({ log, key, node }) => {
    const tasks = log.submit(1);
    const manifest = log.manifest(key, node, tasks);
    log.issue(manifest);
    log.voidManifest(manifest);
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('a record that lists another status than the receipt', 14, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    const receipt = log.receipt(
      node,
      tasks.map((task) => [task, 'failed']),
    );
    log.answer(
      receipt,
      'accept',
      receipt.payload.results.map((result) => ({ ...result, status: 'succeeded' })),
    );
  }),
  wrongLog('a prune of what no record named', 18, ({ log }) => {
    log.append({ type: 'evidence.prune', outcome: 'success', data: { sha256: [sha256Hex('never')] } });
  }),
  {
    name: 'a receipt of which a result is told by no record',
    exitCode: 1,
    rule: 14,
    member: 'records.jsonl',
    build: () =>
      played(({ log, key, node }) => {
        const tasks = log.submit(2);
        log.issue(log.manifest(key, node, tasks));
        const receipt = log.receipt(
          node,
          tasks.map((task) => [task, 'succeeded']),
        );
        log.answer(receipt, 'accept', receipt.payload.results.slice(1));
        log.append({ type: 'log.heartbeat', outcome: 'success' });
      }),
  },
];

const receipts: Case[] = [
  wrongLog('two receipts of one number', 23, ({ log, key, node }) => {
    const tasks = log.submit(3);
    log.issue(log.manifest(key, node, tasks));
    for (const [i, task] of tasks.entries()) {
      log.answer(log.receipt(node, [[task, 'succeeded']], { seq: Math.min(i, 1) }));
    }
  }),
  wrongLog('a boot that names an earlier last receipt than is there', 23, ({ log, key, node }) => {
    const tasks = log.submit(3);
    log.issue(log.manifest(key, node, tasks));
    for (const task of tasks.slice(0, 2)) log.answer(log.receipt(node, [[task, 'succeeded']]));
    log.reboot(node);
    node.previous = { boot_id: node.previous?.boot_id ?? '', seq: 0 };
    log.answer(
      log.receipt(
        node,
        tasks.slice(2).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('two boots that both are the first', 23, ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.slice(1).map((task) => [task, 'succeeded']),
      ),
    );
    log.reboot(node);
    delete node.previous;
    log.answer(
      log.receipt(
        node,
        tasks.slice(0, 1).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a receipt that is missing in its sequence', 2, 'receipt_gap', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    for (const task of tasks) log.answer(log.receipt(node, [[task, 'succeeded']]));
    node.seq++;
    const more = log.submit(1);
    log.issue(log.manifest(key, node, more));
    log.answer(
      log.receipt(
        node,
        more.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a boot that names a later last receipt than is there', 2, 'receipt_gap', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.slice(1).map((task) => [task, 'succeeded']),
      ),
    );
    log.reboot(node);
    node.previous = { boot_id: node.previous?.boot_id ?? '', seq: 4 };
    log.answer(
      log.receipt(
        node,
        tasks.slice(0, 1).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a receipt whose last record tells only a part', 2, 'untold_results', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    const receipt = log.receipt(
      node,
      tasks.map((task) => [task, 'succeeded']),
    );
    log.answer(receipt, 'accept', receipt.payload.results.slice(1));
  }),
  absentLog('times that step back, which is no reason to refuse', 0, undefined, ({ log, key, node }) => {
    log.nowMs -= 20_000;
    log.issue(log.manifest(key, node, log.submit(2)));
  }),
];

export const orderCases: readonly Case[] = [...orders, ...receipts];
