/** Messages from nodes, as anybody who may write the queue could make them. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openReceipt, type OpenReceipt } from '../../src/collect/open-receipt.ts';
import type { Delivery } from '../../src/domain/broker.ts';
import { encodeFrame } from '../../src/domain/frame.ts';
import { frameContentType, receiptMessage, receiptsQueue } from '../../src/domain/queues.ts';
import type { CanonicalValue } from '../../src/proof/canonical-json.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { CompactJwsGenerator, type JwsType } from '../../src/proof/jws.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { importPublicKey } from '../../src/proof/public-key.ts';
import type { ReceiptPayload, Result } from '../../src/proof/receipt.ts';
import { ed25519Key, type TestKey } from '../proof/keys.ts';
import { nodeId, otherNodeId, payloadOf, resultOf } from './receipts.ts';

const nowS = 1_700_000_000;
const trustedFromS = nowS - 3600;
const key = ed25519Key(1);
const otherKey = ed25519Key(2);
const strangerKey = ed25519Key(3);

const nodes = [
  { nodeId, key: importPublicKey(key.jwk), fromS: trustedFromS },
  { nodeId: otherNodeId, key: importPublicKey(otherKey.jwk), fromS: trustedFromS },
];

function deliver(body: Buffer): Delivery {
  return {
    body,
    messageId: 'm',
    type: receiptMessage,
    contentType: frameContentType,
    headers: {},
    routingKey: receiptsQueue,
    exchange: '',
    redelivered: false,
    deaths: [],
    tag: 1,
  };
}

interface Made {
  payload?: Partial<ReceiptPayload>;
  results?: Result[];
  blobs?: (Buffer | null)[];
  by?: TestKey;
  type?: JwsType;
}

async function make({ payload, results = [resultOf(1)], blobs, by = key, type = 'writ-receipt+jws' }: Made) {
  const whole = payloadOf(results, { iat: nowS, ...payload });
  const [jws = Buffer.alloc(0)] = await new CompactJwsGenerator(by, type).generate([
    whole as unknown as CanonicalValue,
  ]);
  return encodeFrame(jws, blobs ?? results.flatMap(() => [null, null]));
}

function open(body: Buffer): OpenReceipt {
  return openReceipt(deliver(body), (kid) => nodes.find((node) => node.key.kid === kid), nowS);
}

/** The code under which a message is refused; `taken` where it is not. */
function codeOf(body: Buffer): string {
  try {
    open(body);
    return 'taken';
  } catch (error) {
    if (error instanceof ProofError) return error.code;
    throw error;
  }
}

const output = Buffer.from('the output');
const withOutput = resultOf(1, { output_sha256: sha256Hex(output), output_bytes: output.length });
const metadata = Buffer.from('{"retryable":true}');

describe('a message from a node', () => {
  it('is opened with the bytes that were signed', async () => {
    const result = { ...withOutput, metadata_sha256: sha256Hex(metadata) };
    const { payload, results } = open(await make({ results: [result], blobs: [output, metadata] }));
    expect(payload.iss).to.equal(nodeId);
    expect(results).to.deep.equal([{ result, output, metadata, isRetryable: false }]);
  });

  it('may have been signed a little ahead of time, and not more', async () => {
    expect(codeOf(await make({ payload: { iat: nowS + 280 } }))).to.equal('taken');
    expect(codeOf(await make({ payload: { iat: nowS + 281 } }))).to.equal('not_yet_valid');
  });

  it('may have waited for any time, but not since before its key was trusted', async () => {
    expect(codeOf(await make({ payload: { iat: trustedFromS - 30 } }))).to.equal('taken');
    expect(codeOf(await make({ payload: { iat: trustedFromS - 31 } }))).to.equal('key_not_trusted_yet');
  });

  it('is refused by the key of another node, of nobody, and as another type', async () => {
    expect(codeOf(await make({ by: otherKey }))).to.equal('bad_issuer');
    expect(codeOf(await make({ payload: { iss: otherNodeId } }))).to.equal('bad_issuer');
    expect(codeOf(await make({ by: strangerKey }))).to.equal('unknown_key');
    expect(codeOf(await make({ type: 'writ-manifest+jws' }))).to.equal('bad_type');
  });

  it('is refused where its output is another, longer, missing or not asked for', async () => {
    const result = withOutput;
    const other = Buffer.from('THE OUTPUT');
    expect(codeOf(await make({ results: [result], blobs: [other, null] }))).to.equal('bad_output');
    expect(codeOf(await make({ results: [result], blobs: [Buffer.from('the output!'), null] }))).to.equal('bad_output');
    expect(codeOf(await make({ results: [result], blobs: [null, null] }))).to.equal('bad_output');
    expect(codeOf(await make({ blobs: [output, null] }))).to.equal('bad_output');
  });

  it('may bring the beginning of an output alone', async () => {
    const body = await make({ results: [withOutput], blobs: [output.subarray(0, 3), null] });
    expect(open(body).results[0]?.output?.toString()).to.equal('the');
  });

  it('is refused where metadata are others than were signed', async () => {
    const results = [resultOf(1, { metadata_sha256: sha256Hex(metadata) })];
    expect(codeOf(await make({ results, blobs: [null, metadata] }))).to.equal('taken');
    expect(codeOf(await make({ results, blobs: [null, Buffer.from('{}')] }))).to.equal('bad_metadata');
    expect(codeOf(await make({ results, blobs: [null, null] }))).to.equal('bad_metadata');
    expect(codeOf(await make({ blobs: [null, metadata] }))).to.equal('bad_metadata');
  });

  it('is refused with another number of parts than results', async () => {
    expect(codeOf(await make({ blobs: [null] }))).to.equal('bad_frame');
    expect(codeOf(await make({ blobs: [null, null, null, null] }))).to.equal('bad_frame');
  });

  it('is refused with NUL in a text, which no database keeps', async () => {
    const results = [resultOf(1, { status: 'failed', error: { code: 'bad', message: 'a\0b' } })];
    expect(codeOf(await make({ results }))).to.equal('bad_payload');
    const inCode = [resultOf(1, { status: 'failed', error: { code: 'b\0d', message: 'ab' } })];
    expect(codeOf(await make({ results: inCode }))).to.equal('bad_payload');
  });

  it('is refused with an attempt beyond 31 bits', async () => {
    expect(codeOf(await make({ results: [resultOf(1, { attempt: 0x7fff_ffff })] }))).to.equal('taken');
    expect(codeOf(await make({ results: [resultOf(1, { attempt: 0x8000_0000 })] }))).to.equal('bad_payload');
    expect(codeOf(await make({ results: [resultOf(1, { attempt: 0 })] }))).to.equal('bad_payload');
  });

  it('is refused with two results of one attempt', async () => {
    expect(codeOf(await make({ results: [resultOf(1), resultOf(1, { status: 'failed' })] }))).to.equal('bad_payload');
  });

  it('may bring results of two attempts of one task', async () => {
    const results = [resultOf(1), resultOf(2), resultOf(1, { attempt: 2 })];
    expect(codeOf(await make({ results }))).to.equal('taken');
  });

  it('is refused, and never fails otherwise, cut at any byte or with any byte changed', async () => {
    const body = await make({ results: [withOutput], blobs: [output, null] });
    for (let at = 0; at < body.length; at++) {
      expect(codeOf(body.subarray(0, at)), `cut at ${at}`).to.not.equal('taken');
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(codeOf(changed), `changed at ${at}`).to.not.equal('taken');
    }
  });

  it('says that a failure may be tried again, only of a failure and only where its metadata say exactly that', async () => {
    const retryable = async (status: Result['status'], text: string): Promise<boolean | undefined> => {
      const bytes = Buffer.from(text);
      const results = [resultOf(1, { status, metadata_sha256: sha256Hex(bytes) })];
      return open(await make({ results, blobs: [null, bytes] })).results[0]?.isRetryable;
    };
    expect(await retryable('failed', '{"retryable":true}')).to.equal(true);
    expect(await retryable('timed_out', '{"retryable":true}')).to.equal(false);
    for (const text of ['{"retryable":"true"}', '{}', 'null', '[]', 'not JSON', ''])
      expect(await retryable('failed', text), text).to.equal(false);
  });
});
