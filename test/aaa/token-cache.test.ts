/** Credentials in memory: how old they may be. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { generateApiKey, parseApiKey } from '../../src/aaa/api-key.ts';
import { TokenCache, tokenCacheMs } from '../../src/aaa/token-cache.ts';
import { insertToken, revokeToken } from '../../src/aaa/token-sql.ts';
import { newId, type TokenId } from '../../src/domain/ids.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

describe('the cache of credentials', () => {
  let test: TestDatabase;
  before(async () => {
    test = await createTestDatabase();
  });
  after(() => test.drop());

  /** A stored token, a cache, and a clock that stands still until it is moved. */
  function setup() {
    const parsed = parseApiKey(generateApiKey('pat'));
    if (parsed === undefined) throw new Error('a key that cannot be read');
    const tokenId = newId<TokenId>();
    const store = () =>
      insertToken(test.database, {
        token_id: tokenId,
        sha256: parsed.sha256,
        prefix: parsed.prefix,
        kind: 'pat',
        name: 'alice',
        roles: ['viewer'],
        scope: null,
        networks: [],
        created_by: 'root',
        expires_at: new Date('2100-01-01'),
      });
    let atMs = 1000;
    const clock = { now: () => 0, monotonicMs: () => atMs };
    const cache = new TokenCache(test.database, clock);
    const isRevoked = async () => (await cache.findBySha256(parsed.sha256))?.revoked_at instanceof Date;
    return { tokenId, sha256: parsed.sha256, store, cache, isRevoked, advance: (ms: number) => (atMs += ms) };
  }

  it('believes a revoked credential for no longer than promised', async () => {
    const { tokenId, store, isRevoked, advance } = setup();
    await store();
    expect(await isRevoked()).to.equal(false);
    await revokeToken(test.database, tokenId);
    advance(tokenCacheMs - 1);
    expect(await isRevoked()).to.equal(false);
    advance(1);
    expect(await isRevoked()).to.equal(true);
  });

  it('does not grow younger by being asked', async () => {
    const { tokenId, store, isRevoked, advance } = setup();
    await store();
    await isRevoked();
    await revokeToken(test.database, tokenId);
    for (let i = 0; i < 5; i++) {
      advance(tokenCacheMs / 5);
      await isRevoked();
    }
    expect(await isRevoked()).to.equal(true);
  });

  it('counts the age from before the query, not from its answer', async () => {
    const { tokenId, store, cache, sha256, isRevoked, advance } = setup();
    await store();
    const looking = cache.findBySha256(sha256);
    advance(tokenCacheMs - 1);
    await looking;
    await revokeToken(test.database, tokenId);
    advance(1);
    expect(await isRevoked()).to.equal(true);
  });

  it('asks the database once for many look-ups, those at the same time included', async () => {
    const { store, cache, sha256 } = setup();
    await store();
    const before = test.database.statements();
    const found = await Promise.all([1, 2, 3].map(() => cache.findBySha256(sha256)));
    await cache.findBySha256(sha256);
    expect(found.map((row) => row?.name)).to.deep.equal(['alice', 'alice', 'alice']);
    expect(test.database.statements() - before).to.equal(1);
  });

  it('remembers as briefly that there is no such credential', async () => {
    const { store, cache, sha256, advance } = setup();
    expect(await cache.findBySha256(sha256)).to.equal(undefined);
    await store();
    const before = test.database.statements();
    expect(await cache.findBySha256(sha256)).to.equal(undefined);
    expect(test.database.statements()).to.equal(before);
    advance(tokenCacheMs);
    expect((await cache.findBySha256(sha256))?.name).to.equal('alice');
  });

  it('finds by id, and forgets everything when it is told to', async () => {
    const { tokenId, store, cache } = setup();
    expect(await cache.findById(tokenId)).to.equal(undefined);
    await store();
    cache.clear();
    expect((await cache.findById(tokenId))?.token_id).to.equal(tokenId);
  });
});
