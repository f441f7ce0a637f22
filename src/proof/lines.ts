/** Lines of a member as bytes, read in chunks with flat memory. */

import { isUtf8 } from 'node:buffer';
import { bufferOf } from './bytes.ts';
import { parseCanonical, type CanonicalValue } from './canonical-json.ts';
import { ProofError, prove } from './proof-error.ts';

const lineFeed = 0x0a;

/** Owns the reading of one member: which line is next, and the bytes that were read beyond it. */
export class LineReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #lineMaxBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  #line = 0;

  constructor(chunks: AsyncIterable<Uint8Array>, lineMaxBytes: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#lineMaxBytes = lineMaxBytes;
  }

  /** Number of the line that was taken last, from 1. */
  get line(): number {
    return this.#line;
  }

  /** The next line without its line feed, if it is here already: valid until the next call of `next`. */
  take(): Buffer | undefined {
    const end = this.#buffer.indexOf(lineFeed, this.#at);
    if (end < 0) return undefined;
    const line = this.#buffer.subarray(this.#at, end);
    this.#at = end + 1;
    this.#line++;
    prove(line.length <= this.#lineMaxBytes, 'too_large', 'a line is too long');
    return line;
  }

  /** The next line, undefined after the last. Refuses a last line without a line feed. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const line = this.take();
      if (line !== undefined) return line;
      const rest = this.#buffer.subarray(this.#at);
      const chunk = await this.#chunks.next();
      if (chunk.done === true) {
        this.#buffer = Buffer.alloc(0);
        this.#at = 0;
        if (rest.length === 0) return undefined;
        this.#line++;
        throw new ProofError('no_line_feed', 'the last line ends without a line feed');
      }
      this.#buffer = rest.length === 0 ? Buffer.from(chunk.value) : Buffer.concat([rest, chunk.value]);
      this.#at = 0;
      if (this.#buffer.length > this.#lineMaxBytes && !this.#buffer.includes(lineFeed)) {
        this.#line++;
        throw new ProofError('too_large', 'a line is too long');
      }
    }
  }

  /** Lets go of the member before its end. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

/** The text of bytes that must be UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  const buffer = bufferOf(bytes);
  prove(isUtf8(buffer), 'not_canonical', 'not UTF-8');
  return buffer.toString('utf8');
}

/** One line as strict canonical JSON. */
export function parseLine(line: Uint8Array): CanonicalValue {
  return parseCanonical(decodeText(line));
}
