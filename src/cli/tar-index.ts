/** Where the members of a bundle lie inside a tar: regular files at the top or all in one folder (formats.md rule 30). */

import { prove } from '../proof/proof-error.ts';
import { holdRule } from '../proof/rule.ts';

const blockBytes = 512;
/** More files than any bundle has; an attacker chooses how many headers there are. */
const filesMax = 16;
const headerFilesMaxBytes = 64 * 1024;

export interface TarMember {
  name: string;
  offset: number;
  size: number;
}

/** Reads the headers of a tar from its bytes, in chunks. Refuses with `rule_30` all but regular files and one folder. */
export async function indexTar(chunks: AsyncIterable<Uint8Array>): Promise<TarMember[]> {
  const index = new TarIndex();
  for await (const chunk of chunks) index.read(chunk);
  return index.finish();
}

/** Owns the place in the tar, and the header that is not complete yet. */
class TarIndex {
  readonly #members: TarMember[] = [];
  readonly #block = Buffer.alloc(blockBytes);
  #filled = 0;
  #offset = 0;
  /** Bytes of contents and padding before the next header. */
  #skip = 0;
  #extended: { bytes: Buffer[]; left: number } | undefined;
  #isAtEnd = false;

  read(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const taken = Math.min(this.#skip, chunk.length - at);
        this.#keepExtended(chunk.subarray(at, at + taken));
        this.#skip -= taken;
        this.#offset += taken;
        at += taken;
        continue;
      }
      const taken = Math.min(blockBytes - this.#filled, chunk.length - at);
      this.#block.set(chunk.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      this.#offset += taken;
      at += taken;
      if (this.#filled === blockBytes) this.#readBlock();
    }
  }

  finish(): TarMember[] {
    holdRule(this.#isAtEnd && this.#skip === 0 && this.#filled === 0, 30, 'a tar that ends too early');
    const folders = new Set(this.#members.map(({ name }) => name.slice(0, name.lastIndexOf('/') + 1)));
    holdRule(folders.size <= 1, 30, 'members in more than one folder');
    return this.#members.map(({ name, ...rest }) => ({ name: name.slice(name.lastIndexOf('/') + 1), ...rest }));
  }

  #readBlock(): void {
    this.#filled = 0;
    const block = this.#block;
    if (block.every((byte) => byte === 0)) {
      this.#isAtEnd = true;
      return;
    }
    holdRule(!this.#isAtEnd, 30, 'bytes after the end of the tar');
    checkHeader(block);
    const size = readNumber(block.subarray(124, 136));
    this.#skip = Math.ceil(size / blockBytes) * blockBytes;
    const type = String.fromCharCode(block[156] ?? 0);
    if (type === 'x') {
      // Extended headers of a file: kept to see that they change nothing that matters here.
      holdRule(size <= headerFilesMaxBytes, 30, 'an extended header that is too large');
      this.#extended = { bytes: [], left: size };
      return;
    }
    const name = readName(block);
    if (type === '5') {
      holdRule(size === 0 && /^(?:[^/]+\/?)?$/.test(name), 30, 'a folder inside a folder');
      return;
    }
    holdRule(type === '0' || type === '\0', 30, 'a member that is not a regular file');
    holdRule(/^(?:[^/]+\/)?[^/]+$/.test(name), 30, 'a member inside more than one folder');
    holdRule(this.#members.length < filesMax, 30, 'more members than a bundle has');
    this.#members.push({ name, offset: this.#offset, size });
  }

  #keepExtended(bytes: Uint8Array): void {
    if (this.#extended === undefined) return;
    const kept = bytes.subarray(0, this.#extended.left);
    this.#extended.bytes.push(Buffer.from(kept));
    this.#extended.left -= kept.length;
    if (this.#extended.left > 0) return;
    const text = Buffer.concat(this.#extended.bytes).toString('latin1');
    holdRule(!/(?:^|\n)\d+ (?:path|size|linkpath|GNU\.)/.test(text), 30, 'an extended header that moves a member');
    this.#extended = undefined;
  }
}

function checkHeader(block: Buffer): void {
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  holdRule(readNumber(block.subarray(148, 156)) === sum, 30, 'a tar header whose checksum is wrong');
  holdRule(block.toString('latin1', 257, 262) === 'ustar', 30, 'not a tar of the POSIX form');
}

/** Octal, or binary where the first bit is set, as in members of over 8 GiB. */
function readNumber(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) !== 0) {
    let value = (field[0] ?? 0) & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    prove(Number.isSafeInteger(value), 'rule_30', 'a tar header with an impossible size');
    return value;
  }
  const [, digits] = /^ *([0-7]+)[ \0]*$/.exec(field.toString('latin1')) ?? [];
  holdRule(digits !== undefined, 30, 'a tar header with a number that is none');
  return parseInt(digits, 8);
}

function readName(block: Buffer): string {
  const text = (from: number, to: number): string => {
    const field = block.toString('utf8', from, to);
    const end = field.indexOf('\0');
    return end < 0 ? field : field.slice(0, end);
  };
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(345, 500) : '';
  const name = prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`;
  return name.startsWith('./') ? name.slice(2) : name;
}
