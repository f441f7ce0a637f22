/** Logs with one wrong record or key. */

import { sha256Hex } from '../../src/proof/hash.ts';
import { ed25519Key, p256Key } from './keys.ts';
import { wrongLog, appendRaw, type Case } from './case.ts';

const records: Case[] = [
  wrongLog('a record with a member that is not listed', 5, ({ log }) => {
    appendRaw(log, { extra: 1 });
  }),
  wrongLog('a record of version 2', 5, ({ log }) => {
    appendRaw(log, { v: 2 });
  }),
  wrongLog('a record of another log', 5, ({ log }) => {
    appendRaw(log, { log: 'audit.test.example/other' });
  }),
  wrongLog('a null inside a record', 3, ({ log }) => {
    appendRaw(log, { data: { inner: [null] } });
  }),
  wrongLog('a list of 501', 9, ({ log }) => {
    appendRaw(log, { data: { list: new Array<number>(501).fill(1) } });
  }),
  wrongLog('a type without a dot', 7, ({ log }) => {
    appendRaw(log, { type: 'submit' });
  }),
  wrongLog('a time without milliseconds', 7, ({ log }) => {
    appendRaw(log, { ts: '2026-01-02T03:04:05Z' });
  }),
  wrongLog('an id that was there before', 7, ({ log }) => {
    const { id } = JSON.parse(log.lines[0] ?? '') as { id: string };
    log.append({ type: 'test.twice', outcome: 'success', id });
  }),
  wrongLog('both data and its hash', 8, ({ log }) => {
    appendRaw(log, { data: {}, data_sha256: sha256Hex('') });
  }),
  wrongLog('a lost attempt without data', 8, ({ log }) => {
    appendRaw(log, { type: 'attempt.lost' });
  }),
  wrongLog('a submission without the hash of its tasks', 10, ({ log }) => {
    appendRaw(log, { type: 'task.submit', outcome: 'allow', target: { kind: 'task', ids: [log.uuid()] }, data: {} });
  }),
];

const keys: Case[] = [
  wrongLog('a key that is trusted twice', 11, ({ log, key }) => {
    log.trustKey(key, 'manifest');
  }),
  wrongLog('a kid that is not the thumbprint', 11, ({ log, key, other }) => {
    const data = { kid: other.key.kid, jwk: key.jwk, use: 'manifest', from: log.ts };
    appendRaw(log, { type: 'key.trust', data });
  }),
  wrongLog('a key that is retired but was never trusted', 11, ({ log }) => {
    log.append({ type: 'key.retire', outcome: 'success', data: { kid: ed25519Key(99).kid, until: log.ts } });
  }),
  wrongLog('a manifest by a key that no record trusts', 12, ({ log, node }) => {
    log.issue(log.manifest(p256Key(66), node, log.submit(1)));
  }),
  wrongLog('a manifest by a key of a node', 12, ({ log, node }) => {
    log.issue(log.manifest(node.key, node, log.submit(1)));
  }),
  wrongLog('a manifest from before its key was trusted', 12, ({ log, key, node }) => {
    const iat = log.nowS - 40;
    log.issue(log.manifest(key, node, log.submit(1), { iat, nbf: iat, exp: iat + 60 }));
  }),
  wrongLog('a manifest from after its key was retired', 12, ({ log, key, node }) => {
    log.retireKey(key, new Date(log.nowMs - 40_000).toISOString());
    log.issue(log.manifest(key, node, log.submit(1)));
  }),
  wrongLog('a key that is retired from before what it signed', 12, ({ log, key, node }) => {
    log.nowMs += 100_000;
    log.issue(log.manifest(key, node, log.submit(1)));
    log.retireKey(key, new Date(log.nowMs - 60_000).toISOString());
  }),
  wrongLog('a manifest that is recorded long after it expired', 12, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.nowMs += 91_000;
    log.issue(manifest);
  }),
  wrongLog('a receipt from the future', 12, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
        { iat: log.nowS + 302 },
      ),
    );
  }),
];

export const recordCases: readonly Case[] = [...records, ...keys];
