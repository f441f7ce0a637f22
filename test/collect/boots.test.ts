/** One sequence of receipts for each node, held against what the database has. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { Boots } from '../../src/collect/boots.ts';
import { readBoots } from '../../src/collect/collect-sql.ts';
import { newId, type BootId, type Jti, type NodeId, type RecordId } from '../../src/domain/ids.ts';
import { sha256 } from '../../src/proof/hash.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { payloadOf, resultOf } from './receipts.ts';

interface Previous {
  boot_id: string;
  seq: number;
}

describe('the sequence of a node', () => {
  let test: TestDatabase;
  before(async () => {
    test = await createTestDatabase();
  });
  after(() => test.drop());

  /** A node with rows of receipts; each call stores one, later than those before it. */
  function setup() {
    const iss = newId<NodeId>();
    const boots = new Boots();
    let count = 0;
    const store = async (bootId: string, seq: number, previous?: Previous): Promise<void> => {
      const jti = newId<Jti>();
      const at = new Date(1_700_000_000_000 + count++ * 1000);
      await test.database.query(
        `insert into receipts (jti, sha256, node_id, boot_id, seq, previous_boot, previous_seq, record_id, received_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        [jti, sha256(jti), iss, bootId, seq, previous?.boot_id ?? null, previous?.seq ?? null, newId<RecordId>(), at],
      );
    };
    /** Whether a receipt would be taken; `with` is the memory of one process. */
    const check = async (bootId: string, seq: number, previous?: Previous, by = boots): Promise<string> => {
      const payload = payloadOf([resultOf(1)], {
        iss,
        boot_id: bootId,
        seq,
        ...(previous === undefined ? {} : { previous_boot: previous }),
      });
      return by.check(test.database, payload).then(
        () => 'taken',
        (error: unknown) => (error instanceof ProofError ? error.code : String(error)),
      );
    };
    return { iss, store, check, a: newId<BootId>(), b: newId<BootId>(), c: newId<BootId>() };
  }

  it('begins anywhere: receipts arrive in any order', async () => {
    const { check, a, b } = setup();
    expect(await check(a, 3)).to.equal('taken');
    expect(await check(a, 0)).to.equal('taken');
    expect(await check(b, 0, { boot_id: a, seq: 9 })).to.equal('taken');
  });

  it('is read as the last number and the boot before, newest first', async () => {
    const { iss, store, a, b } = setup();
    await store(a, 1);
    await store(a, 0);
    await store(b, 0, { boot_id: a, seq: 4 });
    expect(await readBoots(test.database, iss)).to.deep.equal([
      { boot_id: b, last_seq: 0, previous_boot: a, previous_seq: 4 },
      { boot_id: a, last_seq: 1, previous_boot: null, previous_seq: null },
    ]);
  });

  it('goes on with a boot that names the last before it, and its last receipt or a later one', async () => {
    const { store, check, a, b } = setup();
    await store(a, 0);
    await store(a, 5);
    expect(await check(b, 0, { boot_id: a, seq: 5 })).to.equal('taken');
    expect(await check(b, 0, { boot_id: a, seq: 8 })).to.equal('taken');
    expect(await check(b, 0, { boot_id: a, seq: 4 })).to.equal('boot_contradicts');
  });

  it('has no second beginning', async () => {
    const { store, check, a, b } = setup();
    await store(a, 0);
    expect(await check(b, 0)).to.equal('boot_contradicts');
  });

  it('does not fork: a boot that names an older one is refused', async () => {
    const { store, check, a, b, c } = setup();
    await store(a, 0);
    await store(b, 0, { boot_id: a, seq: 0 });
    expect(await check(c, 0, { boot_id: a, seq: 0 })).to.equal('boot_contradicts');
    expect(await check(c, 0, { boot_id: b, seq: 0 })).to.equal('taken');
  });

  it('ends for a boot with the receipt that the next one named', async () => {
    const { store, check, a, b } = setup();
    await store(a, 0);
    await store(b, 0, { boot_id: a, seq: 3 });
    expect(await check(a, 3)).to.equal('taken');
    expect(await check(a, 4)).to.equal('boot_contradicts');
  });

  it('finds the last boot also where its receipts came before those of the one before', async () => {
    const { store, check, a, b, c } = setup();
    await store(b, 0, { boot_id: a, seq: 2 });
    await store(a, 2);
    expect(await check(c, 0, { boot_id: b, seq: 0 })).to.equal('taken');
    expect(await check(c, 0, { boot_id: a, seq: 2 })).to.equal('boot_contradicts');
    expect(await check(a, 0)).to.equal('taken');
  });

  it('is kept for each node by itself', async () => {
    const first = setup();
    await first.store(first.a, 0);
    const second = setup();
    expect(await second.check(second.a, 0)).to.equal('taken');
  });

  it('costs no query while a node stays in its boot', async () => {
    const { check, a } = setup();
    await check(a, 0);
    const before = test.database.statements();
    expect(await check(a, 1)).to.equal('taken');
    expect(await check(a, 2)).to.equal('taken');
    expect(test.database.statements()).to.equal(before);
  });

  it('looks again when an earlier boot answers after its successor', async () => {
    const { store, check, a, b } = setup();
    await store(a, 0);
    expect(await check(a, 1)).to.equal('taken');
    await store(b, 0, { boot_id: a, seq: 1 });
    expect(await check(b, 1)).to.equal('taken');
    expect(await check(a, 2)).to.equal('boot_contradicts');
  });
});
