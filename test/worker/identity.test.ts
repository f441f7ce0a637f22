/** The file that says who a node is: whole or not there, and readable by nobody else. */

import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import type { JoinAnswer } from '../../src/domain/node.ts';
import { IdentityFile, type Identity } from '../../src/worker/identity.ts';
import { makeDirectory } from '../platform/keys/temporary-directory.ts';

const secret = 'CANARY-credential-8a3e55';
const key = 'CANARY-key-77b01d';

const answer: JoinAnswer = {
  node_id: '00000000-0000-7000-8000-0000000000aa',
  credential: secret,
  heartbeat_interval_s: 10,
  config: { scopes: [] },
  config_version: 3,
  trust: { origin: 'test.example/log', vkey: 'a key', manifest_keys: [] },
  certificate: 'a chain',
  broker: { queue: 'writ.node.x', receipts: 'writ.receipts', url: 'amqps://localhost:5671' },
};

describe('the identity of a node', () => {
  let folder: string;
  let remove: () => Promise<void>;
  let path: string;

  beforeEach(async () => {
    ({ directory: folder, remove } = await makeDirectory());
    path = join(folder, 'identity.json');
  });
  afterEach(() => remove());

  const create = (): Promise<IdentityFile> => IdentityFile.create(folder, answer, key);
  const kept = async (): Promise<Identity> => JSON.parse(await readFile(path, 'utf8')) as Identity;
  const modeOf = async (name: string): Promise<number> => (await stat(name)).mode & 0o777;

  it('is not there before the node has joined', async () => {
    expect(await IdentityFile.open(folder)).to.equal(undefined);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('is on disk when the join is done, and the same after a restart', async () => {
    const file = await create();
    const { certificate, ...rest } = answer;
    expect(file.value).to.deep.equal({ ...rest, certificate: { chain: certificate, key } });
    expect(await kept()).to.deep.equal(file.value);
    expect((await IdentityFile.open(folder))?.value).to.deep.equal(file.value);
    expect(await readdir(folder)).to.deep.equal(['identity.json']);
  });

  it('has no certificate where the broker asks for none, or where it came without a key', async () => {
    const { certificate: _, ...without } = answer;
    expect((await IdentityFile.create(folder, without, key)).value.certificate).to.equal(null);
    expect((await IdentityFile.create(folder, answer, undefined)).value.certificate).to.equal(null);
  });

  it('is of mode 0600, when it is made and after each change', async () => {
    const file = await create();
    expect(await modeOf(path)).to.equal(0o600);
    await file.update({ config_version: 4 });
    expect(await modeOf(path)).to.equal(0o600);
  });

  it('is of mode 0600 also where a process that died left a file that everybody may read', async () => {
    await writeFile(`${path}.next`, 'half of it');
    await chmod(`${path}.next`, 0o644);
    await create();
    expect(await modeOf(path)).to.equal(0o600);
  });

  it('is not written through a link that somebody put in its way', async () => {
    const target = join(folder, 'target');
    await writeFile(target, 'something else');
    await symlink(target, `${path}.next`);
    await create();
    expect(await readFile(target, 'utf8')).to.equal('something else');
    expect((await kept()).credential).to.equal(secret);
  });

  it('ignores what a process that died in the middle of a change has left', async () => {
    await writeFile(`${path}.next`, '{"node_id": "0000');
    expect(await IdentityFile.open(folder)).to.equal(undefined);
    await create();
    await writeFile(`${path}.next`, '{"node_id": "0000');
    expect((await IdentityFile.open(folder))?.value.credential).to.equal(secret);
  });

  it('is whole at every moment, whoever reads while it changes', async () => {
    const file = await create();
    let isOver = false;
    const reading = (async () => {
      for (let reads = 0; !isOver || reads < 50; reads++) {
        const opened = await IdentityFile.open(folder);
        expect(opened?.value.broker).to.deep.equal(answer.broker);
      }
    })();
    const scopes = Array.from({ length: 500 }, (_, i) => ({
      name: `scope-${i.toString()}`,
      tools: ['*'],
      targets: [],
    }));
    for (let i = 0; i < 40; i++)
      await file.update({ config_version: i, config: { scopes: i % 2 === 0 ? scopes : [] } });
    isOver = true;
    await reading;
  });

  it('keeps the last of many changes at once, and all members that each of them changed', async () => {
    const file = await create();
    await Promise.all([
      ...Array.from({ length: 30 }, (_, i) => file.update({ config_version: i })),
      ...Array.from({ length: 30 }, (_, i) => file.update({ credential: `credential ${i.toString()}` })),
    ]);
    expect(file.value).to.include({ config_version: 29, credential: 'credential 29' });
    expect(await kept()).to.deep.equal(file.value);
  });

  it('has a change on disk when it says so, whatever else is under way', async () => {
    const file = await create();
    const changes = Array.from({ length: 20 }, async (_, i) => {
      await file.update({ config_version: i });
      return (await kept()).config_version >= i;
    });
    expect(await Promise.all(changes)).to.deep.equal(Array(20).fill(true));
  });

  it('stays what is on disk where a change cannot be written, and takes the next one', async () => {
    const file = await create();
    // In the way of the file that is renamed; that of a full disk would do the same.
    await mkdir(`${path}.next`);
    const failure: unknown = await file.update({ credential: 'lost' }).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(Error);
    expect(file.value.credential, 'what is not on disk is not used').to.equal(secret);
    expect((await kept()).credential).to.equal(secret);
    await rm(`${path}.next`, { recursive: true });
    await file.update({ config_version: 9 });
    expect(await kept()).to.include({ credential: secret, config_version: 9 });
  });

  const damages: [what: string, damage: (text: string) => string][] = [
    ['empty', () => ''],
    ['cut off', (text) => text.slice(0, -20)],
    ['full of zeros, as after a power cut', (text) => '\0'.repeat(text.length)],
    ['no object', () => 'null'],
    ['without a credential', (text) => text.replace('"credential"', '"credentials"')],
    ['of another node id', (text) => text.replace(answer.node_id, 'not an id')],
    ['with a byte changed', (text) => text.replace('{', secret)],
  ];
  for (const [what, damage] of damages) {
    it(`is refused where it is ${what}: the node says what to do, and shows no secret`, async () => {
      await create();
      await writeFile(path, damage(await readFile(path, 'utf8')));
      const failure: unknown = await IdentityFile.open(folder).catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(AppError);
      expect(failure).to.include({ code: 'invalid', reason: 'identity_damaged' });
      const { message } = failure as AppError;
      expect(message).to.include(path).and.include('join again');
      const shown = inspect(failure, { depth: 10, showHidden: true });
      expect(shown).to.not.include(secret.slice(0, 9)).and.not.include(key.slice(0, 9));
      expect(await readdir(folder), 'nothing is thrown away').to.deep.equal(['identity.json']);
    });
  }
});
