import { expect } from 'chai';
import { describe, it } from 'mocha';
import { formatCheckpoint, parseCheckpoint } from '../../src/proof/checkpoint.ts';
import { sha256 } from '../../src/proof/hash.ts';
import {
  cosignatureType,
  cosignedMessage,
  formatNote,
  formatVerifierKey,
  noteKeyId,
  parseNote,
  parseVerifierKey,
  verifyNote,
} from '../../src/proof/note.ts';
import { checkCheckpoint, formatPolicy, isQuorum, parsePolicy } from '../../src/proof/policy.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { formatTlogProof, parseTlogProof } from '../../src/proof/tlog-proof.ts';
import { ed25519Key, rawPublicKey, type TestKey } from './keys.ts';

/** The example of the Go package golang.org/x/mod/sumdb/note. */
const goKey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const goNote =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n" +
  '\n' +
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

/** The example of C2SP tlog-cosignature, whose key ids and signatures are of the right form. */
const c2spCheckpoint =
  'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n' +
  '— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n' +
  '— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';

function signed(text: string, name: string, key: TestKey): string {
  const keyId = noteKeyId(name, 1, rawPublicKey(key));
  return formatNote(text, [{ name, keyId, signature: key.signOne(Buffer.from(text)) }]);
}

describe('signed notes', () => {
  it('verifies the example of the Go package', () => {
    const key = parseVerifierKey(goKey);
    expect(key).to.include({ name: 'PeterNeumann', keyId: 'c74f20a3', type: 1 });
    expect(formatVerifierKey(key.name, Buffer.from(key.publicKey.jwk.x, 'base64url'))).to.equal(goKey);
    const note = parseNote(goNote);
    expect(verifyNote(note, [key])).to.deep.equal([key]);
    expect(formatNote(note.text, note.signatures)).to.equal(goNote);
  });

  it('reads the example of tlog-cosignature', () => {
    const note = parseNote(c2spCheckpoint);
    expect(parseCheckpoint(note.text)).to.include({ origin: 'example.com/behind-the-sofa', size: 20852163 });
    expect(note.signatures.map(({ name, keyId }) => `${name} ${keyId}`)).to.deep.equal([
      'example.com/behind-the-sofa 033de0ae',
      'witness.example.com/w1 8d66cf3f',
    ]);
    expect(formatNote(note.text, note.signatures)).to.equal(c2spCheckpoint);
  });

  it('refuses the whole note for a known key’s wrong signature, and ignores unknown keys', () => {
    const [one, two] = [ed25519Key(1), ed25519Key(2)];
    const good = signed('text\n', 'a', one);
    const keyA = parseVerifierKey(formatVerifierKey('a', rawPublicKey(one)));
    const keyB = parseVerifierKey(formatVerifierKey('b', rawPublicKey(two)));
    expect(verifyNote(parseNote(good), [keyB])).to.deep.equal([]);
    const wrong = `${good}— b ${Buffer.concat([Buffer.from(keyB.keyId, 'hex'), Buffer.alloc(64)]).toString('base64')}\n`;
    expect(verifyNote(parseNote(wrong), [keyA])).to.deep.equal([keyA]);
    expect(() => verifyNote(parseNote(wrong), [keyA, keyB]))
      .to.throw(ProofError)
      .with.property('code', 'bad_signature');
    expect(() => verifyNote(parseNote(good.replace('text', 'test')), [keyA])).to.throw(ProofError);
  });

  it('refuses what has not the form of a note', () => {
    const line = goNote.split('\n').at(-2) ?? '';
    const wrong = [
      '',
      '\n',
      'text\n',
      'text\n\n',
      `text\n${line}\n`,
      `text\n\n${line}`,
      `text\n\n${line}\n\n`,
      `te\u0007xt\n\n${line}\n`,
      `text\r\n\n${line}\n`,
      `text\n\n${line.replace('—', '-')}\n`,
      `text\n\n${line.replace('Peter', 'Pet+er')}\n`,
      `text\n\n${line.replace('Peter', 'Pet\u00a0er')}\n`,
      `text\n\n${line} \n`,
      `text\n\n${line.slice(0, -1)}\n`,
      `text\n\n— a AAAAAA==\n`,
      `text\n\n${`${line}\n`.repeat(17)}`,
    ];
    for (const text of wrong) expect(() => parseNote(text), JSON.stringify(text)).to.throw(ProofError);
    expect(() => parseNote(Buffer.from('ff0a0a', 'hex'))).to.throw(ProofError);
    expect(parseNote(`text\n\n${`${line}\n`.repeat(16)}`).signatures).to.have.length(16);
  });

  it('refuses verifier keys whose id is another key’s, and other types of keys', () => {
    const raw = rawPublicKey(ed25519Key(1));
    const wrong = [
      goKey.replace('c74f20a3', 'c74f20a4'),
      goKey.replace('PeterNeumann', 'Peter Neumann'),
      goKey.replace('ARpc', 'ARpd'),
      `${goKey}\n`,
      `a+${noteKeyId('a', 6, raw)}+${Buffer.concat([Buffer.of(6), raw]).toString('base64')}`,
      'a+00000000+',
      'a',
    ];
    for (const text of wrong) expect(() => parseVerifierKey(text), text).to.throw(ProofError);
  });
});

describe('checkpoints', () => {
  it('have three lines and no extensions', () => {
    const root = sha256('root');
    const text = formatCheckpoint({ origin: 'a/b', size: 2 ** 40 + 1, root });
    expect(parseCheckpoint(text)).to.deep.equal({ origin: 'a/b', size: 2 ** 40 + 1, root });
    const [origin = '', size = '', hash = ''] = text.split('\n');
    const wrong = [
      `${text}extension\n`,
      text.slice(0, -1),
      `\n${size}\n${hash}\n`,
      `${origin}\n0${size}\n${hash}\n`,
      `${origin}\n-1\n${hash}\n`,
      `${origin}\n9007199254740993\n${hash}\n`,
      `${origin}\n${size}\n${hash.slice(0, -1)}\n`,
      `${origin}\n${size}\nAAAA\n`,
    ];
    for (const other of wrong) expect(() => parseCheckpoint(other), JSON.stringify(other)).to.throw(ProofError);
  });
});

describe('the policy', () => {
  const witnesses = [0, 1, 2, 3].map((number) => ed25519Key(20 + number));
  const vkeys = witnesses.map((key, i) =>
    formatVerifierKey(`w${i.toString()}.example`, rawPublicKey(key), cosignatureType),
  );
  const logKey = formatVerifierKey('log.example', rawPublicKey(ed25519Key(1)));
  const lines = vkeys.map((vkey, i) => `witness w${i.toString()} ${vkey}`);

  it('asks for nobody at first', () => {
    const policy = parsePolicy(formatPolicy(logKey));
    expect(policy.logs.map(({ name }) => name)).to.deep.equal(['log.example']);
    expect(isQuorum(policy, [])).to.equal(true);
  });

  it('counts witnesses and groups of groups', () => {
    const text = `# mine\n\n log ${logKey} https://log.example\n${lines.join('\n')}\ngroup a 2 w0 w1 w2\ngroup b all a w3\nquorum b\n`;
    const policy = parsePolicy(text);
    const holds = (...numbers: number[]): boolean =>
      isQuorum(
        policy,
        policy.witnesses.filter((_, i) => numbers.includes(i)),
      );
    expect([holds(), holds(0, 1), holds(0, 3), holds(1, 2, 3), holds(0, 1, 2, 3)]).to.deep.equal([
      false,
      false,
      false,
      true,
      true,
    ]);
  });

  it('counts only cosignatures that hold, and refuses a checkpoint with one that does not', () => {
    const policy = parsePolicy(`log ${logKey}\n${lines[0] ?? ''}\nquorum w0\n`);
    const text = formatCheckpoint({ origin: 'log.example', size: 3, root: sha256('root') });
    const own = signed(text, 'log.example', ed25519Key(1));
    expect(checkCheckpoint(parseNote(own), policy)).to.include({ size: 3, isWitnessed: false });
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_700_000_000n);
    const [witness = ed25519Key(20)] = witnesses;
    const signature = witness.signOne(cosignedMessage(text, 1_700_000_000n));
    const keyId = Buffer.from(noteKeyId('w0.example', cosignatureType, rawPublicKey(witness)), 'hex');
    const cosign = (bytes: Buffer): string =>
      `${own}— w0.example ${Buffer.concat([keyId, bytes]).toString('base64')}\n`;
    expect(checkCheckpoint(parseNote(cosign(Buffer.concat([time, signature]))), policy)).to.include({
      isWitnessed: true,
    });
    for (const bytes of [
      Buffer.concat([Buffer.alloc(8), signature]),
      signature,
      Buffer.concat([Buffer.alloc(8, 255), signature]),
    ]) {
      expect(() => checkCheckpoint(parseNote(cosign(bytes)), policy)).to.throw(ProofError);
    }
    expect(checkCheckpoint(parseNote(signed(text, 'log.example', ed25519Key(9))), policy)).to.equal(undefined);
    const other = formatCheckpoint({ origin: 'other.example', size: 3, root: sha256('root') });
    expect(() => checkCheckpoint(parseNote(signed(other, 'log.example', ed25519Key(1))), policy)).to.throw(ProofError);
  });

  it('refuses what the format does not allow, and says in which line', () => {
    const wrong = [
      `log ${logKey}\n`,
      `log ${logKey}\nquorum none\nquorum none\n`,
      `log ${logKey}\nlog ${logKey}\nquorum none\n`,
      `log ${vkeys[0] ?? ''}\nquorum none\n`,
      `witness w0 ${logKey}\nquorum w0\n`,
      `${lines[0] ?? ''}\n${(lines[0] ?? '').replace('w0 ', 'x ')}\nquorum none\n`,
      `${lines[0] ?? ''}\n${(lines[1] ?? '').replace('w1 ', 'w0 ')}\nquorum none\n`,
      `${lines[0] ?? ''}\ngroup g 2 w0\nquorum g\n`,
      `${lines[0] ?? ''}\ngroup g 0 w0\nquorum g\n`,
      `${lines[0] ?? ''}\ngroup g any\nquorum g\n`,
      `${lines[0] ?? ''}\ngroup g all w0 w0\nquorum g\n`,
      `${lines[0] ?? ''}\ngroup g any w0\ngroup h any w0 g\nquorum h\n`,
      `group g any w0\n${lines[0] ?? ''}\nquorum g\n`,
      `quorum w9\n`,
      `trust everybody\nquorum none\n`,
      `log ${logKey}\r\nquorum none\r\n`,
      `group none any none\nquorum none\n`,
    ];
    for (const text of wrong) expect(() => parsePolicy(text), JSON.stringify(text)).to.throw(ProofError);
    expect(() => parsePolicy(`quorum none\nnonsense\n`)).to.throw(/line 2/);
  });
});

describe('tlog-proof', () => {
  it('is written and read back', () => {
    const hashes = [sha256('1'), sha256('2')];
    const proof = { index: 73_894, hashes, checkpoint: c2spCheckpoint, extra: Buffer.from('{"v":1}') };
    const text = formatTlogProof(proof);
    expect(text.split('\n').slice(0, 3)).to.deep.equal(['c2sp.org/tlog-proof@v1', 'extra eyJ2IjoxfQ==', 'index 73894']);
    expect(parseTlogProof(text)).to.deep.equal(proof);
    const bare = { index: 0, hashes: [], checkpoint: c2spCheckpoint };
    expect(parseTlogProof(formatTlogProof(bare))).to.deep.equal(bare);
  });

  it('is refused in any other form', () => {
    const text = formatTlogProof({ index: 7, hashes: [sha256('1')], checkpoint: c2spCheckpoint });
    const wrong = [
      text.replace('@v1', '@v2'),
      text.replace('index 7', 'index 07'),
      text.replace('index 7', 'index'),
      text.replace('index 7\n', ''),
      text.replace('index 7', 'extra !\nindex 7'),
      text.replace(/\n[^\n]{44}\n/, '\nAAAA\n'),
      text.split('\n\n')[0] ?? '',
    ];
    for (const other of wrong) expect(() => parseTlogProof(other), JSON.stringify(other)).to.throw(ProofError);
  });
});
